import torch
from hypothesis import given, strategies as st

from featstore.backbone.checkpoint_names import is_counter, place_of, unwrapped, words

PARTS = st.sampled_from(["module", "_orig_mod", "layer1", "0", "conv1", "weight", "_fsdp_wrapped_module", "x/y"])


@given(st.lists(st.lists(PARTS, min_size=1, max_size=5).map(".".join), unique=True))
def test_no_name_is_lost_and_each_leads_back_to_its_own(names):
    found = unwrapped(names)
    assert sorted(found.values()) == sorted(names)


def test_wrappers_are_taken_out_everywhere_but_where_names_would_fall_together():
    assert unwrapped(["module.a.b", "a.module.c"]) == {"a.b": "module.a.b", "a.c": "a.module.c"}
    assert unwrapped(["module.a", "a"]) == {"module.a": "module.a", "a": "a"}
    assert unwrapped(["module/x.module.a"]) == {"module/x.a": "module/x.module.a"}


def test_places_and_words():
    assert place_of("a/b.c/conv1.weight") == "a/b.c/" and place_of("conv1.weight") == ""
    assert words("state_dict/modelEma.encoder_k.0") == {"state", "dict", "model", "ema", "encoder", "k", "0"}


def test_counters_are_known_by_name_or_are_one_whole_number():
    assert is_counter("a/layer1.total_ops", torch.zeros(1).double()) and is_counter("n_averaged", torch.tensor(3))
    assert is_counter("layer1.steps", torch.tensor(3)) and is_counter("bn.num_batches_tracked", torch.tensor(3))
    assert not is_counter("layer1.gamma", torch.tensor(0.5)) and not is_counter("a.b", torch.zeros(2).long())
