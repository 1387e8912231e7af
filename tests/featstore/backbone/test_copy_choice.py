import pytest
import torch

from featstore.backbone.classifier_matching import MatchedClassifier
from featstore.backbone.copy_choice import MatchNotes, choose_copy, describe_match
from featstore.backbone.state_dict_matching import NetworkCopy
from featstore.errors import WeightsError


def file(*prefixes):
    """Copies with different tensors, and what holds them."""
    given = {f"{prefix}w": torch.full((2, 2), float(i)) for i, prefix in enumerate(prefixes)}
    return [NetworkCopy(prefix, {"w": f"{prefix}w"}) for prefix in prefixes], given


@pytest.mark.parametrize(
    ("prefixes", "chosen", "told"),
    [
        (
            ("model/", "model_ema/"),
            "model_ema/",
            "took the averaged tensors, under 'model_ema', and not those under 'model'",
        ),
        (("swa_model.", "net."), "swa_model.", "took the averaged tensors"),
        (("state_dict/encoder_q.", "state_dict/encoder_k."), "state_dict/encoder_q.", "which only follow them"),
        (("online_encoder.", "target_encoder."), "online_encoder.", "which only follow them"),
        (
            ("student_backbone.", "teacher_backbone."),
            "teacher_backbone.",
            "took the tensors of the teacher, under 'teacher_backbone'",
        ),
        (("net/", "optimizer/avg/"), "net/", "and not 'optimizer/avg', which are of training, by their name"),
        (("EMAmodel.", "model."), "EMAmodel.", "took the averaged tensors"),
        (("state_dict/a.", "current_model_state/a."), "state_dict/a.", "Lightning puts them there"),
        (("emad.", "keyed.", "encoder_k."), None, ""),
    ],
)
def test_names_decide_which_copy_is_meant(prefixes, chosen, told):
    copies, given = file(*prefixes)
    if chosen is None:
        with pytest.raises(
            WeightsError, match="^several, with other tensors under 'emad' and under 'keyed', and nothing"
        ):
            choose_copy(copies, given, "several")
        return
    copy, preferred = choose_copy(copies, given, "several")
    assert copy.prefix == chosen and told in preferred


def test_a_mapping_that_counts_averages_is_averaged():
    copies, given = file("a/", "b/")
    copy, preferred = choose_copy(copies, given | {"b/n_averaged": torch.tensor(3)}, "several")
    assert copy.prefix == "b/" and "averaged" in preferred


def test_equal_tensors_are_one_copy_and_the_fuller_one_is_taken():
    copies, given = file("long.", "b.")
    assert choose_copy(copies, given | {"b.w": given["long.w"]}, "several") == (copies[1], "")
    fuller = NetworkCopy("long.", copies[0].trunk, "", MatchedClassifier({"fc.weight": "long.fc.weight"}, 3))
    assert choose_copy([fuller, copies[1]], given | {"b.w": given["long.w"]}, "several") == (fuller, "")
    with pytest.raises(WeightsError, match="^several, with other tensors under 'long' and under 'b', and nothing"):
        choose_copy([fuller, copies[1]], given, "several")


@pytest.mark.parametrize(
    "prefixes",
    [("student/", "teacher/"), ("best/", "current/"), ("a.k.", "a.q."), ("source_net.", "target_net."), ("avg/", "m/")],
)
def test_a_word_alone_decides_nothing(prefixes):
    copies, given = file(*prefixes)
    with pytest.raises(WeightsError, match="nothing in their names says which is meant"):
        choose_copy(copies, given, "several")


def test_the_numbers_of_an_optimizer_are_no_network():
    copies, given = file("optimizer/exp_avg/")
    with pytest.raises(WeightsError, match="^x holds tensors, but only under 'optimizer/exp_avg', whose name speaks"):
        choose_copy(copies, given, "x holds several networks")


def test_notes_are_empty_where_there_is_nothing_to_tell():
    copies, given = file("")
    assert describe_match("x.pth", copies[0], copies, "", given, {key: key for key in given}, "") == MatchNotes()


def test_notes_tell_shortly_and_in_full():
    copies, given = file("state/net.")
    given |= {"state/loss.a\n": torch.ones(1), "state/steps": torch.tensor(1), "opt/0/m": torch.ones(1)}
    notes = describe_match("x.pth", copies[0], copies, "", given, {key: key for key in given}, "fc")
    assert notes.short == "x.pth: it has no classifier of torchvision's form; left out: loss.a\\n"
    assert notes.full == (
        "x.pth: the network's names stand behind 'state/net.'; it has no classifier of torchvision's form; "
        "left out: loss.a\\n; 1 counter was left out; 1 tensor was left out, under 'opt'"
    )
