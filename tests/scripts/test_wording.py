"""Sentences of the libraries in the words of commands; what a user called things stays as it is called."""

import shlex

import click
import pytest
from hypothesis import given, strategies as st

from featstore.system.reporting import argument
from featstore_scripts.main import VERBS, group
from featstore_scripts.wording import NEGATED, OPTIONS, typed, worded

COMMANDS = [group.get_command(click.Context(group), verb) for verb in VERBS]
PARAMETERS = [p for command in COMMANDS for p in command.params if isinstance(p, click.Option)]

names = st.sampled_from([*OPTIONS, *NEGATED])
values = st.sampled_from(
    ["", "=True", "=False", '="a b"', "='a'", "=r'\\d'", "=3", '={"test": 0.25}', '=["a", "b"]', "=["]
)
pieces = st.one_of(st.sampled_from(["`", " ", "(", ". ", "; ", "/", "`featstore info`", "é"]), names,
                   st.builds("`{}{}`".format, names, values))  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ('memory is full; use `device="cpu"` or a smaller one', "memory is full; use --device cpu or a smaller one"),
        ("add `overwrite=True`", "add --overwrite"),
        ("or leave `strict` out", "or leave --strict out"),
        ('extract with `split={"test": 0.25}`, or', "extract with --split test=0.25, or"),
        ('with `nodes=["layer3", "layer4"]` does).', "with --node layer3 --node layer4 does)."),
        ('(`reopen="NODE"`), or', "(--unfreeze NODE), or"),
        ("with `folds=3`, add", "with --folds 3, add"),
        ("show every image with `augment=False`", "show every image with --no-augmentation"),
        ('`weights="random (seed 0)"`; `weights="a.b/c=1"`', "--weights 'random (seed 0)'; --weights a.b/c=1"),
        ('`weights="it\'s"`', "--weights 'it'\"'\"'s'"),
        (r"`groups=r'^_\d+'` keeps", r"--groups '^_\d+' keeps"),
        (r"(`groups='^_\\d+'`)", r"(--groups '^_\\d+')"),
    ],
)
def test_an_argument_is_said_as_the_option_that_one_types(sentence, said):
    assert typed(sentence) == said


def test_code_stays_code_where_the_sentence_is_shown_with_code():
    said = typed('again with `groups="auto"`, or `featstore train STORE --head knn`', code=True)
    assert said == "again with `--groups auto`, or `featstore train STORE --head knn`"


@pytest.mark.parametrize(
    "text",
    [
        "run `featstore repair`", "use `cells`", "`strict=False`", "`weights=[`", "`weights=nan`", "photos/`weights`",
        "`weights`.jpg is damaged", "unknown class '`weights`'; known: a", "x`weights`y", "`weights``pool`", "`weights",
    ],
)  # fmt: skip
def test_what_is_no_argument_or_part_of_a_name_is_left_alone(text):
    assert typed(text) == text


@pytest.mark.parametrize("name", ["c`at", "`", "c`a`t", "``", "`dog", "x/`/y.jpg", "it`s (`a"])
def test_backticks_in_names_hide_no_argument_behind_them(name):
    sentence = f'a/{name}/1.jpg as {name} and {name}: `drop_leaks=True` leaves them out, `groups="auto"` ({name}) too.'
    said = f"a/{name}/1.jpg as {name} and {name}: --drop-leaks leaves them out, --groups auto ({name}) too."
    assert typed(sentence) == said == typed(sentence, names=[name])


words = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]) | st.just("`"), min_size=1)


@given(words, st.sampled_from(sorted(OPTIONS)))
def test_any_word_of_the_data_leaves_the_argument_behind_it_as_it_was(word, argument):
    if any(f"`{name}" in word for name in (*OPTIONS, *NEGATED)):
        return
    assert typed(f"{word} is there; use `{argument}`") == f"{word} is there; use {OPTIONS[argument]}"


@given(st.text(alphabet=st.sampled_from("`ab_=\"'{}[] ./:-;(é\n")) | st.text())
def test_text_without_a_known_argument_is_unchanged(text):
    assert any(name in text for name in (*OPTIONS, *NEGATED)) or typed(text) == typed(text, code=True) == text


@given(st.lists(pieces).map("".join), st.booleans())
def test_saying_it_twice_changes_nothing(text, code):
    once = typed(text, code)
    assert typed(once, code) == once


def test_a_document_has_its_sentences_translated_and_nothing_else():
    document = {
        "notes": ["`split` changed nothing"],
        "verdict": ["Next: again with `drop_leaks=True`."],
        "warnings": [{"kind": "leak", "text": "`drop_leaks=True` leaves them out"}],
        "omitted": ({"head": "`weights`", "reason": "give a `groups` pattern"},),
        "classes": ["`weights`", "b"],
        "features": [{"provenance": [{"engine_note": 'use `engine="eager"`', "path": "`seed`"}]}],
        "map": None,
    }
    assert worded(document) == {
        "notes": ["--split changed nothing"],
        "verdict": ["Next: again with `--drop-leaks`."],
        "warnings": [{"kind": "leak", "text": "--drop-leaks leaves them out"}],
        "omitted": [{"head": "`weights`", "reason": "give a --groups pattern"}],
        "classes": ["`weights`", "b"],
        "features": [{"provenance": [{"engine_note": "use --engine eager", "path": "`seed`"}]}],
        "map": None,
    }
    assert worded({"verdict": "kept (`keep_any=True` keeps the best)"}) == {
        "verdict": "kept (--keep-any keeps the best)"
    }


def test_every_option_is_one_of_a_command_and_that_of_the_parameter_with_this_name():
    known = {option for p in PARAMETERS for option in (*p.opts, *p.secondary_opts)}
    assert {*OPTIONS.values(), *NEGATED.values()} <= known
    for name, option in OPTIONS.items():
        named = [p for p in PARAMETERS if p.name == name]
        assert all(option in p.opts for p in named), name


@pytest.mark.parametrize("name", ["my `weights` x", "no`pe.pth", "a`b/f.npz", "(`strict`)", "`split`, here"])
def test_what_the_user_typed_stays_whatever_backticks_it_holds(name):
    sentence = f"{name} exists already; add `overwrite=True`, see /home/{name}"
    assert typed(sentence, names=[name]) == f"{name} exists already; add --overwrite, see /home/{name}"
    document = {"path": f"/home/{name}", "reason": f"{name} is broken; add `overwrite=True`", "classes": [name]}
    assert worded(document) == {**document, "reason": f"{name} is broken; add --overwrite"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_that_a_library_writes_is_the_value_that_a_shell_reads(value):
    option, *read = shlex.split(typed(argument("weights", value)))
    assert (option, read) == ("--weights", [value])
