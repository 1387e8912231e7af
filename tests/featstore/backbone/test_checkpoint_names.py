import torch
from hypothesis import given, strategies as st

from featstore.backbone.checkpoint_names import (
    follows,
    is_average,
    is_counter,
    is_own_teacher,
    is_training_state,
    keeper_of_average,
    place_of,
    unwrapped,
    words,
)

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


def test_averages_and_numbers_of_training_are_told_apart():
    for name in ("model_ema/", "ema_model.", "EMAModel.", "swa/", "averaged_net.", "state_dict_ema/model."):
        assert is_average(name) and not is_training_state(name)
    for name in ("avg/", "optimizer/ema/", "opt/avg/", "exp_avg/", "avg_grads/", "emaciated.", "average/"):
        assert not is_average(name)
    for name in ("optimizer/", "opt/avg/", "state/exp_avg/", "teacher_grad/", "momentum_buffer/", "exp_avg_sq/"):
        assert is_training_state(name)
    for name in ("mask_rcnn.", "exp_1/model.", "gradcam.", "grad_cam.", "momentum_encoder.", "optimal."):
        assert not is_training_state(name)


def test_a_copy_follows_only_one_that_is_there():
    assert follows("momentum_backbone.", ["backbone.a"]) and follows("backbone_momentum.", ["backbone.a"])
    assert follows("target_encoder.net.", ["online_encoder.net.a"]) and follows("encoder_k.0.", ["encoder_q.0.a"])
    assert follows("key_encoder.", ["query_encoder.a"]) and follows("encoder_k.", ["queue"])
    assert follows("target_net.", ["target_net.steps"]) and follows(
        "module.momentum_encoder.", ["module.base_encoder.a"]
    )
    assert not follows("target_encoder.", ["source_encoder.a"]) and not follows("block.k.", ["block.q.a"])
    assert not follows("momentum_backbone.", ["other.a"])


def test_a_teacher_is_the_student_s_average_only_with_the_marks_of_self_distillation():
    assert is_own_teacher("teacher/backbone.", ["student/backbone.a", "teacher/head.last_layer.weight_g"])
    assert is_own_teacher("model/teacher.backbone.", ["model/student.a", "model/teacher.dino_head.mlp.0.weight"])
    assert not is_own_teacher("teacher.", ["student.a", "teacher.fc.weight"])
    assert not is_own_teacher("teacher_backbone.", ["net.a"])


def test_tools_that_swap_averages_before_they_save():
    assert keeper_of_average("state_dict/", ["ema_state_dict/steps"]) == "mmengine"
    assert keeper_of_average("ema_state_dict/", ["ema_state_dict/steps"]) == ""
    assert keeper_of_average("state_dict/", ["state_dict/a.weight", "current_model_state/a.weight"]) == "Lightning"
    assert keeper_of_average("a.", ["a.b.weight", "ema_a_b_weight"]) == "mmcv"
    assert keeper_of_average("a.", ["a.b.weight", "ema_a.b.weight"]) == ""
