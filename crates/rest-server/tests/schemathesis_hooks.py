"""What schemathesis cannot know from openapi.json: what a plan looks like.

Plans of a few names, so that what is added is also found, replaced, started and removed; whole, spoiled and no plans
at all.
"""

import schemathesis
from hypothesis import strategies as st

PLAN = """[plan]
name = "{name}"
{schedule}
[store]
sqlite = "{store}.db"
[endpoints.e]
base_url = "{url}"
limits = ["500/s"]
[tasks.instruments]
get = "/{path}"
mode = "append"
"""

NAMES = ["p", "q", "r-1", "s_2"]


@st.composite
def plans(draw):
    name = draw(st.sampled_from(NAMES))
    text = PLAN.format(
        name=name,
        # A wrong store is one thing to refuse.
        store=draw(st.sampled_from([name, name, name, "../out", "serve"])),
        schedule=draw(st.sampled_from(["", "", '[schedule]\nevery = "1h"', '[schedule]\ncron = "0 6 * * *"', "[schedule]"])),
        url=draw(st.sampled_from(["sandbox://market?records=50"] * 4 + ["http://169.254.169.254/", "http://localhost/"])),
        path=draw(st.sampled_from(["instruments", "nothing", "{{ secrets.none }}"])),
    )
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text(max_size=20)) + text[at:]
    return text.encode("utf-8", "surrogatepass")


schemathesis.openapi.media_type(
    "application/toml", st.one_of(plans(), plans(), plans(), st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
)
