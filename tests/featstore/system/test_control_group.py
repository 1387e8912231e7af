import string

import pytest
from hypothesis import given, strategies as st

from featstore.system.control_group import memory_left, processor_quota


def system(root, **files):
    """A file system with these files; `__` in a name stands for a slash, `_dot_` for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_tightest_limit_of_the_group_and_of_those_above_it_counts(tmp_path):
    root = system(
        tmp_path,
        proc__self__cgroup="0::/slurm/job_7/step_0\n",
        sys__fs__cgroup__slurm__cpu_dot_max="200000 100000\n",
        sys__fs__cgroup__slurm__job_7__cpu_dot_max="max 100000\n",
        sys__fs__cgroup__slurm__job_7__step_0__cpu_dot_max="400000 100000\n",
        sys__fs__cgroup__slurm__job_7__memory_dot_max="1000\n",
        sys__fs__cgroup__slurm__job_7__memory_dot_current="900\n",
        sys__fs__cgroup__slurm__job_7__memory_dot_stat="anon 300\ninactive_file 500\n",
        sys__fs__cgroup__slurm__job_7__step_0__memory_dot_max="max\n",
        sys__fs__cgroup__slurm__job_7__step_0__memory_dot_current="800\n",
    )
    assert processor_quota(root) == 2.0
    assert memory_left(root) == 600  # files that are only cached are not used up


def test_version_1_has_a_folder_for_each_controller(tmp_path):
    root = system(
        tmp_path,
        proc__self__cgroup="9:name=systemd:/x\n4:memory:/box/7\n1:cpu,cpuacct:/box/7\n",
        sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us="-1\n",
        sys__fs__cgroup__cpu__cpu_dot_cfs_period_us="100000\n",
        sys__fs__cgroup__cpu__box__7__cpu_dot_cfs_quota_us="50000\n",
        sys__fs__cgroup__cpu__box__7__cpu_dot_cfs_period_us="100000\n",
        sys__fs__cgroup__memory__box__7__memory_dot_limit_in_bytes="5000\n",
        sys__fs__cgroup__memory__box__7__memory_dot_usage_in_bytes="4000\n",
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes="9223372036854771712\n",
        sys__fs__cgroup__memory__memory_dot_usage_in_bytes="4000\n",
    )
    assert processor_quota(root) == 0.5 and memory_left(root) == 1000


def test_a_container_sees_its_own_group_as_the_root(tmp_path):
    root = system(
        tmp_path,
        proc__self__cgroup="0::/docker/abc\n",
        sys__fs__cgroup__cpu_dot_max="300000 100000\n",
        sys__fs__cgroup__memory_dot_max="5000\n",
        sys__fs__cgroup__memory_dot_current="9000\n",
    )
    assert processor_quota(root) == 3.0 and memory_left(root) == 0


@pytest.mark.parametrize(
    "groups", ["", "0::/\n", "nonsense", "3:cpu", "1:cpu:/a\n4:memory:/a\n", "0::/../../etc\n", "0::/a/../b\n"]
)
def test_where_nothing_is_said_there_is_no_limit(tmp_path, groups):
    root = system(tmp_path, proc__self__cgroup=groups)
    assert processor_quota(root) is None and memory_left(root) is None
    assert processor_quota(tmp_path / "gone") is None and memory_left(tmp_path / "gone") is None


@given(text=st.text(string.printable, max_size=40), limit=st.text("0123456789-max .\n", max_size=24))
def test_any_text_is_read_without_a_failure(tmp_path_factory, text, limit):
    root = system(
        tmp_path_factory.mktemp("any"),
        proc__self__cgroup="0::/\n" + text,
        sys__fs__cgroup__cpu_dot_max=limit,
        sys__fs__cgroup__memory_dot_max=limit,
        sys__fs__cgroup__memory_dot_current="5",
    )
    assert (processor_quota(root) or 1) > 0 and (memory_left(root) or 0) >= 0
