"""Unit tests: `PYTHONPATH=sdk:. python3 -m unittest discover tests`.

What the host makes of the component, `ilab-host plugin test` compares with tests/cases.
"""

import unittest

from ilab_stage import StageError
from ilab_stage.testkit import Sample
from stage import CHECKPOINTS, STAGES


class EvaluationTest(unittest.TestCase):
    """What the stage asks for."""

    def setUp(self) -> None:
        """A sample with a folder of checkpoints."""
        self.sample = Sample(STAGES[0]).input(CHECKPOINTS, "/data/checkpoints")

    def test_the_script_gets_the_folder(self) -> None:
        """The folder comes from training phase 2."""
        pod = self.sample.object("Job")["spec"]["template"]["spec"]
        self.assertIn("/data/checkpoints", pod["containers"][0]["command"])

    def test_a_folder_elsewhere_is_refused(self) -> None:
        """What another stage printed is foreign text."""
        with self.assertRaisesRegex(StageError, "not below /data"):
            self.sample.input(CHECKPOINTS, "/etc").render()


if __name__ == "__main__":
    unittest.main()
