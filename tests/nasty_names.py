"""Names and values as an attacker, or an accident, would write them into a log: each place that shows names is tried
with the same list.
"""

from __future__ import annotations

MARKUP = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    '"><svg onload=alert(1)>',
    "<a href='javascript:alert(1)'>x</a>",
    "<style>*{display:none}</style>",
    "<!-- ",
    "]]>",
    "&lt;b&gt; &amp; &#60;",
]
CALLS = [
    "<!channel>",
    "<!here|all>",
    "<@U024BE7LH>",
    "<https://evil.example|click>",
    "@everyone",
    "@here",
    "[click](https://evil.example)",
    "*bold* _it_ ~gone~ `code`",
]
CONTROLS = [
    "\x1b]0;taken\x07",
    "\x1b[2J\x1b[31mred",
    "\x9b31mred",
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "a\rb",
    "a\nb",
    "a\r\nBcc: someone@evil.example",
    "a\tb",
    "a\x08\x7fb",
    "\u202etxt.exe",
    "\u2066hidden\u2069",
    "\u200bzero",
    "\ufeffmark",
    "a\u2028b",
]
SYNTAX = [
    r"$\frac{1}{$",
    "$x$ and $",
    "\\",
    "\\n",
    'say "hi"',
    "it's",
    "{{ 7 * 7 }}",
    "{% for x in y %}",
    "${jndi:ldap://x}",
    "$monitor",
    "%s %(x)s {0}",
    "[bold]rich[/bold]",
    "[/]",
    "=1+1",
    "'; DROP TABLE runs; --",
    "../../etc/passwd",
    "a|b=c,d;e",
    "100%_",
    "NaN",
    "null",
    " ",
    "ünïcödé 名前 🚲",
    "x" * 300,
]
NASTY = [*MARKUP, *CALLS, *CONTROLS, *SYNTAX]
