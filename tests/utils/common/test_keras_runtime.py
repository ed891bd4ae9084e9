import keras
import pytest

from data.schemes import FACE
from models.config import preset_config
from models.cpm import build_network
from models.trainer import LandmarkReader, StageTrainer
from utils import benchmark
from utils.training.start import make_optimizer


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends have no choice to make")
@pytest.mark.parametrize("kind", ["CPU", "GPU"])
def test_xla_is_off_on_a_cpu_and_on_on_a_gpu(monkeypatch, tmp_path, kind):
    """On a CPU it is several times slower than TensorFlow's own convolutions."""
    import tensorflow as tf

    config = preset_config("tiny", {"face": (3, 30)}, stages=1)
    network = build_network(config)
    trainer = StageTrainer(network, config, FACE)

    device = tf.config.PhysicalDevice(name="/physical_device:0", device_type=kind)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda wanted=kind: [device] if wanted == kind else [])
    assert LandmarkReader(network, config, ("face",)).jit_compile is (kind == "GPU")
    trainer.compile(optimizer=make_optimizer(learning_rate=0.001, steps=1))  # as the scripts do
    assert trainer.jit_compile is (kind == "GPU")

    class CompiledError(Exception):
        pass

    def compile_and_stop(trainer, **options):
        keras.Model.compile(trainer, **options)
        assert trainer.jit_compile is (kind == "GPU")
        raise CompiledError

    monkeypatch.setattr(StageTrainer, "compile", compile_and_stop)
    monkeypatch.setattr("sys.argv", ["benchmark", "--preset", "tiny", "--precision", "float32"])
    with pytest.raises(CompiledError):
        benchmark.main()
