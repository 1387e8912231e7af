"""docs/design.md is true of the code: the rooms that it draws, the stops of its routes, the places that it names."""

import re

from tests.house.imports import ROOT
from tests.house.test_layers import KNOWN, ROOMS

DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return re.search(rf"## {title}\n(.*?)\n## ", DESIGN, re.S).group(1)


def stops(table: str) -> list[str]:
    """The modules that a route's table names, each once."""
    found = []
    for row in re.findall(r"^\| ([\w.]+) \| (.*) \|$", table, re.M)[1:]:
        room = "" if row[0] == "below" else f"{row[0]}."
        for word in re.findall(r"`([\w.]+)`", row[1]):
            found.append(next((m for m in KNOWN if m.partition(".")[2] == room + word), f"no module {room}{word}"))
    return found


def test_every_room_is_drawn():
    drawn = re.search(r"```\n(scripts.*?)```", section("The house"), re.S).group(1)
    for room in ROOMS[:-1]:
        assert re.search(rf"\b{room.rpartition('.')[2]}\b", drawn) or room.rpartition(".")[2] in (
            "types",
            "formatting",
            "linalg",
        ), room


def test_the_stops_of_both_routes_are_modules_and_no_more_than_they_were():
    """The image route had 42 stops when data were folders or a CSV; where bytes are, and what layouts say, came in."""
    image, head = section("Two routes").split("Features on their way")
    for route, before in ((image, 50), (head, 50)):
        assert not [stop for stop in stops(route) if stop.startswith("no module")]
        assert len(set(stops(route))) == len(stops(route)) < before


def test_every_place_that_is_named_is_there():
    named = re.findall(r"`((?:featstore|classifiers|scripts|tests|docs)/[\w/.]+)`", DESIGN)
    assert len(named) > 20
    assert not [place for place in named if not (ROOT / place).exists()]
    nouns = [
        word
        for row in re.findall(r"^\| `\w+`.*\|$", section("The nouns"), re.M)
        for word in row.split("|")[3].split(",")
    ]
    places = [word.strip(" `") for word in nouns]
    there = {module.partition(".")[2].replace(".", "/") for module in KNOWN}
    assert len(places) > 15 and set(places) <= there


def test_every_stop_of_a_route_is_reached_by_the_job():
    from tests.house.imports import reachable
    from tests.house.test_layers import ARROWS, DOORS

    inner = {pair: line for pair, line in ARROWS.items() if not DOORS & set(pair)}
    image, head = section("Two routes").split("Features on their way")
    assert set(stops(image)) <= reachable("featstore.extract.job", inner)
    assert set(stops(head)) <= reachable("classifiers.comparison.job", inner)
