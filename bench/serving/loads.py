"""What is sent: the same requests at the same times to both stacks, by `baton bench`."""
import dataclasses
import json
import subprocess

from stack import BATON

OUTPUT = 64  # tokens asked back where a load does not say


def begin(url, seed, limits, arguments):
    command = [BATON, "bench", "--url", url, "-o", "json", "--seed", str(seed), "--timeout", "120", *arguments]
    if limits:
        command += ["--goodput", *limits]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def report(process):
    out, err = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"an answer was not as asked; nothing counts:\n{out}{err}")
    return json.loads(out)


def poisson(rate, tokens, seconds):
    return ["--num-prompts", str(max(4, round(rate * seconds))), "--request-rate", str(rate), "--input-len", str(tokens),
            "--output-len", str(OUTPUT)]


@dataclasses.dataclass
class Mixed:
    """Fresh prompts as one Poisson process, short chats as another beside it."""
    rate: float
    tokens: int
    chat_rate: float
    chat_tokens: int

    def scaled(self, factor):
        """The same for a machine that reads prompts `factor` times as fast. A chat is hardly any prompt: chats stay as they are."""
        return dataclasses.replace(self, rate=self.rate * factor)

    def __str__(self):
        return (f"{self.rate:.2g}/s of {self.tokens} tokens beside {self.chat_rate:g}/s of {self.chat_tokens}, each with "
                f"{OUTPUT} tokens back")

    def short_name(self):
        return f"{self.rate:.2g} long + {self.chat_rate:g} short/s"

    def run(self, url, seconds, seed, limits):
        pair = [begin(url, seed, limits, poisson(self.rate, self.tokens, seconds)),
                begin(url, seed + 1, limits, ["--chat", *poisson(self.chat_rate, self.chat_tokens, seconds)])]
        return dict(zip(("long", "short"), map(report, pair)))


@dataclasses.dataclass
class Trace:
    """The beginning of a real trace, its arrivals and lengths scaled to this machine."""
    name: str
    file: str
    count: int
    scale: float
    length_scale: float

    def scaled(self, factor):
        return dataclasses.replace(self, scale=self.scale * factor)

    def __str__(self):
        return (f"{self.name}: the first {self.count} requests, {self.scale:.2g} times as fast, lengths times "
                f"{self.length_scale:g}")

    def short_name(self):
        return self.name

    def run(self, url, _seconds, seed, limits):
        return {"trace": report(begin(url, seed, limits, [
            "--trace", self.file, "--num-prompts", str(self.count), "--trace-scale", str(self.scale),
            "--trace-length-scale", str(self.length_scale)]))}


def one_at_a_time(url, seed, count, tokens):
    """Fresh prompts of `tokens`, each when the one before is answered."""
    return report(begin(url, seed, [], ["--num-prompts", str(count), "--request-rate", "inf", "--concurrency", "1",
                                        "--input-len", str(tokens), "--output-len", "2"]))


def reading_speed(url, seed, tokens=1000):
    """Prompt tokens a second that one pod reads."""
    return tokens / one_at_a_time(url, seed, 5, tokens)["ttft_ms"]["p50"] * 1000


def warm_up(url, seed):
    report(begin(url, seed, [], ["--num-prompts", "4", "--request-rate", "4", "--input-len", "64", "--output-len", "64"]))
