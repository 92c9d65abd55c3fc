"""The SDK's own promises: `python3 -m unittest discover tests`."""

import unittest

from ilab_stage import (
    BoundCredential,
    Context,
    Credential,
    Descriptor,
    Excerpt,
    Holder,
    Kind,
    ObjectRef,
    Output,
    Plan,
    StageError,
    k8s,
    outputs,
    path_problem,
    targets,
)


class OutputsTest(unittest.TestCase):
    def test_the_last_line_counts_and_what_surrounds_it_does_not(self) -> None:
        log = 'ILAB_OUTPUTS {"a":1}\nnoise ILAB_OUTPUTS {"a":9}\nILAB_OUTPUTS {"a":2}\r\ntrailing'
        self.assertEqual(outputs.from_log(log), {"a": 2})

    def test_what_is_no_outputs_line_is_an_error_and_not_an_empty_result(self) -> None:
        deep = f'ILAB_OUTPUTS {{"a":{"[" * 100_000}'
        for log in ("", "nothing", "ILAB_OUTPUTS", "ILAB_OUTPUTS []", 'ILAB_OUTPUTS {"a":NaN}', deep):
            with self.assertRaises(StageError, msg=log[:40]):
                outputs.from_log(log)

    def test_only_declared_outputs_are_kept_and_all_of_them_are_needed(self) -> None:
        declared = [Output.count("a", "", sample=1), Output.count("b", "", sample=1)]
        descriptor = Descriptor(name="s", group="g", summary="x", outputs=declared)
        source = ObjectRef("batch/v1", "Job", "j")
        both = [Excerpt(source, "c", 'ILAB_OUTPUTS {"a":1,"extra":2}'), Excerpt(source, "d", 'ILAB_OUTPUTS {"b":3}')]
        self.assertEqual(outputs.collect(descriptor, both), {"a": 1, "b": 3})
        with self.assertRaisesRegex(StageError, "output b"):
            outputs.collect(descriptor, both[:1])


class ContextTest(unittest.TestCase):
    def test_paths_of_other_stages_are_plain_and_below_the_root(self) -> None:
        self.assertIsNone(path_problem("/data/model", "/data"))
        for path in ("/data", "/database/x", "/data/../etc", "/data/a b", "/data//x", "/data/.hidden", "/data/$(x)"):
            self.assertIsNotNone(path_problem(path, "/data"), path)

    def test_only_bound_keys_reach_the_environment(self) -> None:
        bound = BoundCredential("judge", {"url": Holder.config_map("details"), "key": Holder.secret("judge")})
        ctx = Context(run="r", namespace="n", prefix="p", credentials=[bound])
        env = ctx.credential_env("judge", {"URL": "url"}, {"KEY": "key", "CA": "ca"})
        self.assertEqual(
            [variable.json() for variable in env],
            [
                {"name": "URL", "valueFrom": {"configMapKeyRef": {"key": "url", "name": "details"}}},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"key": "key", "name": "judge"}}},
            ],
        )
        with self.assertRaisesRegex(StageError, "judge has no key ca"):
            ctx.credential_env("judge", {"CA": "ca"})
        with self.assertRaisesRegex(StageError, "other is not bound"):
            ctx.credential_env("other", {})
        self.assertEqual(Credential(name="judge").required_keys, ())

    def test_a_value_of_another_type_is_refused_by_its_name(self) -> None:
        ctx = Context(run="r", namespace="n", prefix="p", parameters={"n": "1", "b": True})
        for read, name in (
            (ctx.integer, "n"),
            (ctx.integer, "b"),
            (ctx.number, "b"),
            (ctx.text, "b"),
            (ctx.texts, "n"),
        ):
            with self.assertRaisesRegex(StageError, f"parameter {name}: "):
                read(name)


class PlanTest(unittest.TestCase):
    def test_a_training_has_a_master_workers_and_an_end(self) -> None:
        pod = k8s.Pod([k8s.Container("pytorch", "i")])
        job = k8s.PyTorchJob("t", app="a", pod=pod, workers=2)
        plan = Plan().apply(job).wait(targets.pytorch_job("t")).read(job, "pytorch")
        spec = plan.manifests[0]["spec"]
        self.assertEqual(
            {role: r["replicas"] for role, r in spec["pytorchReplicaSpecs"].items()}, {"Master": 1, "Worker": 2}
        )
        self.assertEqual(spec["runPolicy"], {"backoffLimit": 3})
        self.assertEqual(plan.targets[0].object, plan.excerpts[0].object)
        self.assertEqual(job.kind, Kind.PYTORCH_JOB)

    def test_numbers_that_are_no_json_are_refused(self) -> None:
        with self.assertRaises(ValueError):
            Plan().apply({"a": float("nan")}).texts()


if __name__ == "__main__":
    unittest.main()
