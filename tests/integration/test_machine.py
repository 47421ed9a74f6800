"""How one engine uses its machine: groups of threads, CPUs, the time of a step."""
import json
import os
import re
import threading

import pytest

from processes import Program, engine
from stack import post, wait_until

PROMPT = "Once upon a time there was a fox who " * 8
CPUS = sorted(os.sched_getaffinity(0))


def answer(program, **more):
    body = {"prompt": PROMPT, "max_tokens": 40, "temperature": 0, "ignore_eos": True, **more}
    status, _, text = post(f"{program.url}/completions", body)
    assert status == 200, text
    return json.loads(text)["choices"][0]["text"]


def cpus_of_threads(pid):
    """Of each thread the CPUs that it may run on."""
    out = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as status:
            out.append(re.search(r"Cpus_allowed_list:\s*(\S+)", status.read())[1])
    return out


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU")
def test_groups_of_bound_threads_give_the_answer_of_one_thread():
    first, second = CPUS[:2]
    with engine("--threads", "1") as one, \
            engine("--tensor-parallel-size", "2", "--threads-bind", f"{first}|{second}") as two:
        assert answer(two) == answer(one)
        allowed = cpus_of_threads(two.process.pid)
        assert allowed.count(str(first)) == 1 and allowed.count(str(second)) == 1
        assert not {str(first), str(second)} & set(cpus_of_threads(one.process.pid))


def test_threads_are_bound_as_the_environment_of_vllm_says():
    env = {"VLLM_CPU_OMP_THREADS_BIND": str(CPUS[0])}
    with Program("engine", "storyteller", env=env) as bound:
        answer(bound)
        wait_until(lambda: str(CPUS[0]) in cpus_of_threads(bound.process.pid), "the engine's thread to be bound")


def test_a_step_target_leaves_answers_as_they_are():
    with engine() as free, engine("--step-target", "1") as bound:
        texts = {}

        def ask(name, program):
            texts[name] = answer(program, prompt=PROMPT * 4)

        wanted = answer(free), answer(free, prompt=PROMPT * 4)
        asking = threading.Thread(target=ask, args=("long", bound))
        asking.start()
        texts["short"] = answer(bound)
        asking.join()
        assert (texts["short"], texts["long"]) == wanted
