#!/usr/bin/env python3
"""Writes tests/golden/template/: chat templates and small snippets, rendered by jinja2 as `transformers` sets it up.

Usage: python3 tools/golden/make_template.py [--out tests/golden/template] [--storyteller models/storyteller/tokenizer_config.json]

The environment is the one transformers itself builds (sandboxed, trim_blocks, lstrip_blocks, loop controls, its tojson);
only the clock stands still. Templates are in tools/golden/templates/, each is rendered with every conversation below.
"""
import argparse, datetime, glob, json, os, platform
import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

NOW = datetime.datetime(2026, 1, 5, 9, 7, 3)

# ---------------------------------------------------------------------------------------------------- conversations
def turn(role, content, **more): return dict(role=role, content=content, **more)

def call(name, arguments, id=None): return {**({"id": id} if id else {}), "type": "function", "function": {"name": name, "arguments": arguments}}

def tool(name, description, properties, **more):
    f = {"name": name, "description": description, "parameters": {"type": "object", "properties": properties, **more}}
    return {"type": "function", "function": {k: v for k, v in f.items() if v is not None}}

STORY = [turn("user", "Write a story about a robot"), turn("assistant", "Once upon a time, there was a robot named Alex."), turn("user", "Continue")]
TOOLS = [tool("weather", "Says how the weather is.\nIn one place.", {"city": {"type": "string", "description": "a city, say \"Köln\""}, "days": {"type": "integer", "default": 1},
              "unit": {"type": "string", "enum": ["C", "F", "K"]}}, required=["city"]),
         tool("add", None, {"xs": {"type": "array", "items": {"type": "number"}}, "opts": {"type": "object", "properties": {"round": {"type": "boolean"}, "deep": {"type": "object",
              "properties": {"a": {"type": "array", "items": {"type": "string"}}, "any": {}}, "required": ["a"]}}}})]
CALLS = [turn("user", "How is the weather in Köln <now> & tomorrow?"),
         dict(role="assistant", content=None, tool_calls=[call("weather", {"city": "Köln", "days": 2, "factor": 1.0, "tiny": 1e-7, "big": 12345678901234567890, "no": None, "yes": True, "l": []}, "abcdef123")]),
         turn("tool", "{\"sky\": \"grey\"}", tool_call_id="abcdef123", name="weather"), turn("assistant", "Grey.")]
TWO_CALLS = [turn("user", "Add and look."), dict(role="assistant", content="One moment.", tool_calls=[call("add", {"xs": [1, 2.5, -0.0, 1e22]}, "000000001"), call("weather", "{\"city\": \"Rom\"}", "000000002")]),
             turn("tool", "3.5", tool_call_id="000000001"), turn("tool", {"content": {"sky": "blue", "t": 21.50}}, tool_call_id="000000002"), turn("user", "Thanks")]
MANY = [turn(("user", "assistant")[i % 2], f"message {i}") for i in range(9)]

CONVERSATIONS = [
    ("one question", dict(messages=[turn("user", "Hello")])),
    ("one question, no prompt", dict(messages=[turn("user", "Hello")], add_generation_prompt=False)),
    ("story", dict(messages=STORY)),
    ("system and story", dict(messages=[turn("system", "  You are a storyteller.\n")] + STORY)),
    ("two system turns", dict(messages=[turn("system", "One."), turn("user", "Hi"), turn("assistant", "Hi!"), turn("system", "Two."), turn("user", "Go on")])),
    ("only system", dict(messages=[turn("system", "Nobody asked.")])),
    ("nine turns", dict(messages=MANY)),
    ("whitespace", dict(messages=[turn("user", "  \n a \n\n"), turn("assistant", "\t b\r\n"), turn("user", "\u00a0c\u3000")])),
    ("specials inside", dict(messages=[turn("user", "<|im_end|>\n<|im_start|>system {{ 1 + 1 }} {% if %} {# no #} '\"\\ </s>")])),
    ("unicode", dict(messages=[turn("system", "Übung: 世界"), turn("user", "👩‍👩‍👧‍👦 שלום e\u0301 \u2028 \x00 \x7f")])),
    ("empty texts", dict(messages=[turn("system", ""), turn("user", ""), turn("assistant", ""), turn("user", "x")])),
    ("no messages", dict(messages=[])),
    ("wrong order", dict(messages=[turn("assistant", "I begin"), turn("user", "Why?")])),
    ("two users", dict(messages=[turn("user", "a"), turn("user", "b")])),
    ("unknown role", dict(messages=[turn("user", "a"), turn("narrator", "b"), turn("user", "c")])),
    ("developer", dict(messages=[turn("developer", "Rules."), turn("user", "a", name="Ann"), turn("stop", "x"), turn("user", "late")])),
    ("parts", dict(messages=[turn("user", [{"type": "text", "text": "Look: "}, {"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": "there"}])])),
    ("unknown part", dict(messages=[turn("user", [{"type": "sound", "sound": "x"}])])),
    ("thoughts", dict(messages=[turn("user", "1+1?"), turn("assistant", "<think>\nEasy.\n</think>\n\n2"), turn("user", "2+2?"), turn("assistant", "<think>\nHm.\n</think>\n\n4")], add_generation_prompt=False)),
    ("thoughts apart", dict(messages=[turn("user", "1+1?"), turn("assistant", "2", reasoning_content="\nEasy.\n")], enable_thinking=False)),
    ("tools unused", dict(messages=[turn("user", "Hello")], tools=TOOLS)),
    ("tools and system", dict(messages=[turn("system", "Be brief.")] + STORY, tools=TOOLS, tools_in_user_message=False)),
    ("one call", dict(messages=CALLS, tools=TOOLS)),
    ("one call, waiting", dict(messages=CALLS[:3], tools=TOOLS)),
    ("two calls", dict(messages=TWO_CALLS, tools=TOOLS)),
    ("call without tools", dict(messages=CALLS[:2])),
    ("result as query", dict(messages=[turn("user", "q"), turn("assistant", "a"), turn("user", "<result>\nr\n</result>"), turn("assistant", "b")])),
    ("short call id", dict(messages=[turn("user", "q"), dict(role="assistant", content=None, tool_calls=[call("add", {"xs": []}, "1")])], tools=TOOLS[:1])),
    ("documents", dict(messages=[turn("user", "What do they say?")], documents=[{"doc_id": 7, "text": "Seven."}, {"text": ""}, {"doc_id": "x\"y", "text": "é"}], controls={"citations": True, "length": "short"})),
    ("named model", dict(messages=[turn("user", "Who?")], model_name="tiny story model", date_string="1 Feb 2026")),
]

# --------------------------------------------------------------------------------------------------------- snippets
C = dict(s="Hello World", e="", n=7, f=2.5, t=True, none=None, l=[3, 1, 2], w=["b", "A", "c"], d={"b": 1, "a": [1, {"x": "é"}], "items_": 2}, m=[{"role": "user", "n": 1}, {"role": "bot", "n": 2}, {"role": "user"}],
         sp="  x y \n", html="<a href='x'>&\"</a>", nested=[[1, 2], [3]], long="the quick brown fox", neg=-7, uni="äÖß")
SNIPPETS = r"""
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ s.split() }} {{ s.split('o') }} {{ s.split('o', 1) }} {{ s.replace('o', '0') }} {{ s.replace('o', '0', 1) }}
{{ l | first }} {{ l | last }} {{ l | sort }} {{ l | sort(reverse=true) }} {{ w | sort }} {{ l | reverse | list }} {{ l | sum }} {{ l | min }} {{ l | max }} {{ m | sort(attribute='role') | map(attribute='role') | list }}
{{ w | join }} {{ w | join(', ') }} {{ m | join('|', attribute='role') }} {{ l | join('-') }} {{ e | join(',') }}| {{ l | unique | list }} {{ 'abc' | list }} {{ d | list }} {{ d | items | list }} {{ d | dictsort }}
{{ n | string ~ '!' }} {{ '42' | int + 1 }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ '3.9' | float }} {{ 3.9 | int }} {{ 3.567 | round(2) }} {{ 3.5 | round }} {{ neg | abs }}
{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ n is not string }} {{ not n is string }} {{ n is sameas n }} {{ raise_exception is callable }} {{ s is callable }} {{ strftime_now is defined }}
{{ 'a\nb' | indent }} {{ 'a\nb\n\nc' | indent(2, true) }} {{ 'a\nb' | indent(width=3) }} {{ long | replace('quick', 'slow') }} {{ '%s is %d' | format('a', 3) }} {{ html | e }} {{ html | safe }} {{ html }}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.previtem is defined }} {{ loop.nextitem is defined }} {% endfor %}
{% macro h(x) %}{{ x }}{% if x > 0 %}{{ h(x - 1) }}{% endif %}{% endmacro %}{{ h(3) }} {% filter upper %}loud {{ s }}{% endfilter %} {% raw %}{{ raw }} {% if %}{% endraw %}
{{ dict(a=1, b=2) }} {{ dict([('x', 1)]) | tojson }} {{ (l | length) > 2 and l[0] == 3 }} {{ -n }} {{ +n }} {{ - 2 ** 2 }} {{ -2 | abs }} {{ 'a' ~ 'b' | upper }} {{ ('a' ~ 'b') | upper }}
{{ not l is defined }} {{ l is not defined }} {{ 'x' not in s and t }} {{ 1 + 1 == 2 and not 2 > 3 }} {{ n if n is defined and n is number else 0 }} {{ loop is defined }}
{{ s | replace('l', '') | trim | title }} {{ (m | first)['role'] | capitalize ~ ':' }} {{ l | map('abs') | map('string') | list }} {{ 123456789.125 | tojson }} {{ 1e16 | tojson }} {{ 1e-7 | tojson }}
{% generation %}tracked{% endgeneration %}
{{ 1 + 2 * 3 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 6 / 3 }} {{ (1 + 2) * 3 }}
{{ 1.0 }} {{ 0.1 + 0.2 }} {{ 1e3 }} {{ 1e16 }} {{ 1e-5 }} {{ 10 / 4 }} {{ 1_000 }} {{ 2.50 }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] }} {{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ '%s-%d' % ('a', 3) }}
{{ true }} {{ false }} {{ none }} {{ True }} {{ None }} {{ not true }} {{ missing }}|{{ missing is defined }}
{{ [1, 'a', none, true, 1.5, "it's", "q\"", 'both\'"'] }} {{ {'a': 1, 'b': [none]} }} {{ (1, 2) }} {{ (1,) }} {{ [] }} {{ {} }} {{ () }}
{{ ['tab\t', 'nl\n', 'é', '\\', 'x\x00'] }} {{ "a\tb\\n\u00e9\x41" }} {{ 'single \' quote' }}
{{ 1 < 2 }} {{ 1 <= 1 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 'a' != 'b' }} {{ 3 >= 4 }} {{ 1 == true }} {{ '1' == 1 }} {{ [1, 2] == [1, 2] }} {{ none == false }}
{{ 1 in l }} {{ 'H' in s }} {{ 'b' in d }} {{ 9 not in l }} {{ 'z' in s or 'W' in s }} {{ 2 in (1, 2) }}
{{ t and n }} {{ e or 'else' }} {{ none or 0 or 'x' }} {{ not e }} {{ 1 and 0 }} {{ '' and x.y.z }}
{{ 'yes' if t else 'no' }} {{ 'x' if e }}| {{ ('a' if n > 5 else 'b') ~ 'c' }} {{ 1 if none else 2 if e else 3 }}
{{ s[0] }} {{ s[-1] }} {{ s[1:4] }} {{ s[:-3] }} {{ s[::-1] }} {{ s[::2] }} {{ s[99:] }}| {{ l[1:] }} {{ l[-2:] }} {{ l[::-1] }} {{ s[-3:-1] }}
{{ l[0] }} {{ d.b }} {{ d['a'][1].x }} {{ m[0].role }} {{ m[2].n }}| {{ d.missing }}| {{ d['nope'] }}| {{ l[99] }}| {{ m[0]['nope'] }}|
{{ d.get('b') }} {{ d.get('z') }} {{ d.get('z', 'dflt') }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }},{% endfor %}
{{ sp.strip() }}|{{ sp.lstrip() }}|{{ sp.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xyaxy'.lstrip('yx') }}|{{ 'xyaxy'.rstrip('yx') }}
{{ s.startswith('He') }} {{ s.endswith('ld') }} {{ s.startswith(('x', 'H')) }} {{ s.find('o') }} {{ s.count('l') }} {{ s.find('zz') }} {{ 'a,b'.split(',') | join('+') }} {{ '-'.join(w) }}
{{ s | upper }} {{ s | lower }} {{ s | title }} {{ 'hello wORLD' | capitalize }} {{ sp | trim }}| {{ 'xxaxx' | trim('x') }} {{ s | length }} {{ l | count }} {{ uni | upper }} {{ uni | length }}
{{ missing | default('d') }} {{ e | default('d') }}| {{ e | default('d', true) }} {{ none | default('d') }} {{ none | d('d', boolean=true) }} {{ m[2].n | default(0) }}
{{ m | map(attribute='role') | list }} {{ w | map('upper') | list }} {{ l | map('string') | join('.') }} {{ m | map(attribute='n', default='-') | list }} {{ nested | map('sum') | list }} {{ nested | map('first') | list }}
{{ m | selectattr('role', 'equalto', 'user') | list | length }} {{ m | selectattr('n', 'defined') | list }} {{ m | rejectattr('role', 'eq', 'user') | list }} {{ m | selectattr('n') | map(attribute='n') | list }} {{ m | selectattr('role', 'in', ['bot']) | list }}
{{ [0, 1, '', 'a', none] | select | list }} {{ l | select('odd') | list }} {{ l | reject('gt', 1) | list }} {{ l | select('>', 1) | list }} {{ l | select('in', [1, 2]) | list }}
{{ d | tojson }} {{ html | tojson }} {{ uni | tojson }} {{ [1.0, 2, none, true, 'a\n\t"\\/'] | tojson }} {{ [] | tojson }} {{ {} | tojson }} {{ '\u2028\x00\x7f' | tojson }}
{{ d | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ [[], {}] | tojson(indent=1) }}
{{ d | tojson(sort_keys=true) }} {{ d | tojson(separators=(',', ':')) }} {{ uni | tojson(ensure_ascii=true) }} {{ [1, 2] | tojson(indent=4, separators=(',', ': ')) }}
{{ s is string }} {{ n is number }} {{ f is float }} {{ n is integer }} {{ t is boolean }} {{ t is number }} {{ t is integer }} {{ d is mapping }} {{ l is iterable }} {{ s is iterable }} {{ l is sequence }} {{ d is sequence }} {{ n is iterable }} {{ none is none }} {{ e is none }}
{{ missing is undefined }} {{ missing is none }} {{ t is true }} {{ n is true }} {{ false is false }} {{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(2) }} {{ n is eq 7 }} {{ n is gt 3 }} {{ n is ne(7) }} {{ n is in [7] }} {{ s is in s }}
{% if n > 5 %}big{% elif n > 3 %}mid{% else %}small{% endif %} {% if e %}x{% elif not e %}y{% endif %} {% if missing %}x{% else %}y{% endif %} {% if l and d and s %}all{% endif %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }} {% endfor %}
{% for x in [] %}x{% else %}none{% endfor %} {% for x in missing %}x{% else %}void{% endfor %} {% for x in l if x > 5 %}x{% else %}no{% endfor %} {% for c in s %}{{ c }}.{% endfor %}
{% for x in l if x != 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}{% for a, b in [[1, 2], [3, 4]] %}{{ a }}+{{ b }} {% endfor %}
{% for x in range(3) %}{{ x }}{% endfor %} {{ range(2, 10, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(3)[1] }} {{ range(4) | length }}
{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for a in range(2) %}{% for b in range(2) %}{{ loop.depth }}{{ a }}{{ b }}{% if b == 0 %}{% continue %}{% endif %};{% endfor %}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }} {% if true %}{% set x = 9 %}{% endif %}{{ x }}
{% set ns = namespace(x=1, l=[]) %}{% for i in l %}{% set ns.x = ns.x + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.x }} {{ ns.l }} {{ ns.missing }}| {{ ns['x'] }} {{ ns.x is defined }} {{ ns.y is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set (p, q) = ('x', 'y') %}{{ p }}{{ q }} {% set t2 = 1, 2, 3 %}{{ t2 }} {% set z %}block {{ n }}{% endset %}{{ z }} {% set u | upper %}shout{% endset %}{{ u }}
{% set x = 'outer' %}{% with x = 'inner', y = 2 %}{{ x }}{{ y }}{% endwith %}{{ x }}{{ y }}| {% with %}{% set k = 1 %}{{ k }}{% endwith %}{{ k }}|
{% macro f(a, b=2, c='x') %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(1, c='y') }}{{ f(b=5, a=6) }}{{ f() }} {{ f.name }} {{ f.arguments }}
{% macro box(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call box('b') %}in {{ n }}{% endcall %} {% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(x, i) each(l) %}{{ i }}:{{ x }} {% endcall %}
{% macro sees() %}{{ n }}{{ loc }}{% endmacro %}{% set loc = 'L' %}{{ sees() }} {% for i in [1] %}{% set inner = 5 %}{{ sees() }}{% endfor %}{{ inner }}|
{# comment #}a{#- x -#} b {#- {{ no }} -#} c
a {%+ if true %} b {% endif +%} c
{% endif %}
{% for x in l %}
{% endfor %}
{{ '\n' }}{{ "\r\n" | length }}{{ 'a' 'b' }} {{ "{{ no }}" }} {{ '{%' }} {{ '}' ~ '}' }} {{ {'a': {'b': 1}}.a.b }} {{ {'a': {'b': 1}}['a']['b'] }}
{{ strftime_now('%Y-%m-%d %H:%M:%S') }} {{ strftime_now('%d %b %Y') }} {{ strftime_now('%A %B %j %y %I %p %%') }} {{ strftime_now('%a, %e') }}
{{ s | length > 3 }} {{ s | upper ~ '!' }} {{ l | sum + 1 }} {{ 10 - l | length }} {{ w | join(',') | upper | length }} {{ (s, n)[1] }} {{ [s, n] | last }} {{ [1, 2,] }} {{ {'a': 1,} }}
{% set d2 = dict(d, z=1) %}{{ d2 | tojson }} {{ d | length }} {{ d == {'b': 1, 'a': [1, {'x': 'é'}], 'items_': 2} }} {{ l == [3, 1, 2] }} {{ l < [4] }}
{{ m[-1].role }} {{ m[1:] | map(attribute='role') | join }} {{ (m | last).role }} {{ m[(m | length) - 1]['role'] }} {{ m[0:1][0].role }} {{ m[n - 6].n }}
{{ 3 | string | int * 2 }} {{ '' | string is string }} {{ [1, [2, [3]]] | string }} {{ none | string }} {{ t | string }} {{ 1.50 | string }} {{ 1e100 }} {{ 0.1 }} {{ 1 / 3 }}
{{ missing.attr }}
{{ missing() }}
{{ none.attr }}|
{{ none['a'] }}|
{{ l.nope }}|{{ n.nope }}|
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ 1 / 0 }}
{{ [] | first }}|{{ [] | last }}|{{ [] | max }}|
{{ n | nofilter }}
{{ n is notest }}
{{ n | join(',') }}
{% if n %}open
{{ unclosed
{{ 'unclosed }}
{% unknown_tag %}
{# never closed
{{ }}
{{ 1 +  }}
{{ a b }}
{% set %}
{% for in l %}{% endfor %}
{% macro f(a, a) %}{% endmacro %}
{{ raise_exception('stop: ' ~ n) }}
{% if false %}{{ raise_exception('never') }}{% endif %}fine
{% set d.x = 1 %}
{{ l.append(4) }}
{% break %}
{{ d.update({'q': 1}) }}
"""
RARE = r"""
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ s.swapcase() }} {{ s.split() }} {{ s.split('o') }} {{ s.split('o', 1) }} {{ s.replace('o', '0') }} {{ s.replace('o', '0', 1) }}
{{ 'abc'.isalpha() }} {{ '12'.isdigit() }} {{ 'a-b'.partition('-') }} {{ 'a b c'.rsplit(' ', 1) }} {{ 'l1\nl2'.splitlines() }} {{ 'TeSt'.casefold() }} {{ '7'.zfill(3) }} {{ 'pre-x'.removeprefix('pre-') }} {{ 'x.y'.removesuffix('.y') }}
{{ '{} and {}'.format(1, 'b') }} {{ '%05.1f|%x|%5s|%-5s|' | format(3.14159, 255, 'a', 'b') }}
{{ l | first }} {{ l | last }} {{ l | sort }} {{ l | sort(reverse=true) }} {{ w | sort }} {{ w | sort(case_sensitive=true) }} {{ l | reverse | list }} {{ s | reverse }} {{ l | sum }} {{ l | min }} {{ l | max }}
{{ [1, 2, 1, 'a', 'A'] | unique | list }} {{ w | join }} {{ w | join(', ') }} {{ m | join('|', attribute='role') }} {{ l | join('-') }} {{ e | join(',') }}|
{{ {1: 'a', none: 'b', true: 'c'} | tojson }} {{ 1e16 | tojson }} {{ 1e-7 | tojson }} {{ 123456789.125 | tojson }} {{ 12345678901234567890 | tojson }}
{{ n | string ~ '!' }} {{ '42' | int + 1 }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ '3.9' | float }} {{ 3.9 | int }} {{ 3.567 | round(2) }} {{ 3.5 | round }} {{ 3.2 | round(0, 'ceil') }} {{ neg | abs }} {{ 'ff' | int(base=16) }}
{{ html | e }} {{ html | escape }} {{ html | safe }} {{ html }} {{ html | striptags }} {{ 'a b/c&d' | urlencode }}
{{ l | batch(2) | list }} {{ l | slice(2) | list }} {{ 'abc' | list }} {{ d | list }} {{ d | dictsort }} {{ d | items | list }} {{ m | groupby('role') | map('first') | list }}
{{ 'a\nb' | indent }} {{ 'a\nb\n\nc' | indent(2, true) }} {{ 'a\n\nb' | indent(2, blank=true) }} {{ long | truncate(12) }} {{ long | truncate(12, true, '.') }} {{ long | wordcount }} {{ long | replace('quick', 'slow') }} {{ 'x' | center(5) }}|
{{ long | wordwrap(9) }} {{ 1234567 | filesizeformat }} {{ [1, 2] | random is number }} {{ d | attr('nope') }}| {{ {'a': 1} | xmlattr }} {{ 'abc' | first }} {{ 'abc' | last }}
{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ n is not string }} {{ not n is string }} {{ n is sameas n }} {{ 'trim' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ raise_exception is callable }} {{ s is callable }} {{ 'a' is escaped }}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }} {% endfor %}
{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}{{ loop.depth0 }}{% endfor %}
{% macro g() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ g(1, 2, k=3) }} {% macro h(x) %}{{ x }}{% if x > 0 %}{{ h(x - 1) }}{% endif %}{% endmacro %}{{ h(3) }}
{% filter upper %}loud {{ s }}{% endfilter %} {% filter replace('a', 'b') | trim %} banana {% endfilter %} {% raw %}{{ raw }} {% if %}{% endraw %}
{{ dict(a=1, b=2) }} {{ dict([('x', 1)]) | tojson }} {{ (l | length) > 2 and l[0] == 3 }} {{ -n }} {{ +n }} {{ - 2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ -2 | abs }} {{ 'a' ~ 'b' | upper }} {{ ('a' ~ 'b') | upper }}
{{ not l is defined }} {{ l is not defined }} {{ 'x' not in s and t }} {{ 'a' in ['a'] == true }} {{ 1 + 1 == 2 and not 2 > 3 }} {{ n if n is defined and n is number else 0 }}
{{ cycler('a', 'b').next() }} {% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %} {{ lipsum is defined }}
{{ n.__class__ }}| {{ s.__len__ }}| {{ x.y }}
{{ range(1000000) | length }}
{{ s.format.__self__ }}
{% include 'x' %}
{{ 100000000000000000000 }} {{ 99999999999999999999 + 1 }}
{% autoescape true %}{{ html }}{% endautoescape %}
{{ namespace(a=1) is mapping }} {{ namespace(a=1).a }} {{ self is defined }} {{ loop is defined }} {{ caller is defined }}
{{ s | replace('l', '') | trim | title }} {{ (m | first)['role'] | capitalize ~ ':' }} {{ l | map('abs') | map('string') | list }} {{ [d, d] | map(attribute='a.1.x') | list }} {{ nested | map(attribute=0) | list }}
"""
# Snippets with line breaks, which the lists above cannot hold.
BLOCKS = ["a\n  {% if true %}  \n  indented\n  {% endif %}  \nend\n", "a  {%- if true -%}  b  {%- endif -%}  c", "a\n  {{- ' x ' -}}\n  b\n", "a\n   {%+ if true %}kept{% endif %}\nb",
          "a{% if true %}\n line\n{% endif %}\nb\n", "  {{ n }}  \n  {{ n -}}  \n z\n\n", "{% for x in l %}\n  - {{ x }}\n{% endfor %}\ndone", "{% for x in l -%}\n  {{ x }}\n{%- endfor %}|",
          "    {# indented comment #}\nx {# c #}\ny", "{% raw %}\n  {{ x }}\n{% endraw %}\n", "{%- raw -%}  {{ x }}  {%- endraw -%} z", "\n\n{% if true %}\n\nx\n\n{% endif %}\n\n", "x\r\n{% if true %}\r\ny\r\n{% endif %}\r\nz\r\n",
          "{{ 'a' }}\n", "{{ 'a' }}\n\n", "\t{% if true %}\n\ttab\n\t{% endif %}\n", "a {% if true %} \n b {% endif %} \n c", "{%- set x = 1 %}\n{%- if x %}\n  one\n{%- endif %}\n",
          "{% macro f() %}\n  body\n{% endmacro %}\n{{ f() }}|\n{{- f() -}}\n|", "{% set x %}\n  block\n{% endset %}\n[{{ x }}]", "{#- a -#}\n\n  b {#- c #}\n d", "{{\n  n\n  +\n  1\n}}", "{% if n\n  and t %}multi{% endif\n%}",
          "line one \\\nline two \\n", "{{ 'line\nbreak' }}", "{% for m in m %}\n{% if loop.first %}\n{{ m.role }}\n{% else %}\n- {{ m.role }}\n{% endif %}\n{% endfor %}"]

# ---------------------------------------------------------------------------------------------------------- writing
def render(template, context):
    """{"output": …} or {"error": …, "error_class": …}; TemplateError is what raise_exception throws."""
    try:
        return {"output": _compile_jinja_template(template).render(**context, strftime_now=NOW.strftime)}
    except Exception as e:
        return {"error": str(e), "error_class": type(e).__name__}

def write(path, value):
    with open(path, "w") as f: json.dump(value, f, ensure_ascii=True, indent=1); f.write("\n")

def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default="tests/golden/template"); p.add_argument("--storyteller", default="models/storyteller/tokenizer_config.json")
    a = p.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    sets = {os.path.basename(f)[:-6]: open(f).read() for f in sorted(glob.glob(here + "/templates/*.jinja"))}
    with open(a.storyteller) as f: sets["storyteller"] = json.load(f)["chat_template"]
    rows = []
    for name, template in sets.items():
        cases = []
        for title, given in CONVERSATIONS:
            context = {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", **given}
            cases.append(dict(name=title, context=context, **render(template, context)))
        write(f"{a.out}/{name}.json", dict(now=NOW.isoformat(), template=template, cases=cases))
        rows.append(f"| `{name}.json` | {len(cases)} | {sum('error' in c for c in cases)} |")
    for file, snippets in (("snippets", SNIPPETS.split("\n")[1:-1] + BLOCKS), ("snippets_rare", RARE.split("\n")[1:-1])):
        cases = [dict(template=t, **render(t, C)) for t in snippets]
        assert not any(" at 0x" in c.get("output", "") for c in cases)
        write(f"{a.out}/{file}.json", dict(now=NOW.isoformat(), context=C, cases=cases))
        rows.append(f"| `{file}.json` | {len(cases)} | {sum('error' in c for c in cases)} |")
    with open(a.out + "/SOURCE.md", "w") as f:
        f.write(f"""# Chat templates, rendered by jinja2

Made by `python3 tools/golden/make_template.py` with jinja2 {jinja2.__version__}, the environment of transformers {transformers.__version__}, and Python
{platform.python_version()}. The templates are Baton's own (`tools/golden/templates/`), each in the manner of a family of models.

| file | cases | of these errors |
|---|---|---|
""" + "\n".join(rows) + """

A file is `{"now", "template", "cases": [{"name", "context", "output"}]}`. `now` is the local time that `strftime_now` sees. A case
that fails has `error` and `error_class` in place of `output`; the text is ours to match only for class `TemplateError`, which
is what `raise_exception` throws. In the two files of snippets the `context` is shared and every case has a
`template`; `snippets_rare.json` holds what chat templates hardly ever use.
""")
    print("\n".join(rows))

if __name__ == "__main__": main()
