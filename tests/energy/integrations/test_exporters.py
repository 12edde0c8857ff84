"""Windows as Prometheus text and OpenTelemetry metrics, read back by the libraries of the two."""

from __future__ import annotations

from pathlib import Path

import pytest
from energy.integrations.conftest import run_script, true_j

from llem_energy import EnergyMeter, MeasurementError
from llem_energy.integrations.prometheus import PrometheusWindows

parser = pytest.importorskip("prometheus_client.parser")
pytest.importorskip("opentelemetry.sdk", reason="the group `integrations` is not installed")
MEASURED = """
import json, time
from pathlib import Path
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from llem_energy import EnergyMeter
from llem_energy.integrations.opentelemetry import OpenTelemetryWindows, span_attributes
from llem_energy.integrations.prometheus import PrometheusWindows

reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
tracer = provider.get_tracer("test")
otel, prometheus = OpenTelemetryWindows(MeterProvider([reader])), PrometheusWindows()
windows = []
with EnergyMeter(mode="light") as meter:
    for name in ('pre"fill\\\\', "decode", "decode"):
        with tracer.start_as_current_span("work") as span:
            with meter.window(name) as window:
                time.sleep(0.7)
            span.set_attributes(span_attributes(window))
        windows.append(window)
        otel.add(window)
        prometheus.add(window)
prometheus.write(Path("llem.prom"))
points = [
    {"name": metric.name, "unit": metric.unit, **dict(point.attributes),
     "value": getattr(point, "value", None) or getattr(point, "sum", None)}
    for resource in reader.get_metrics_data().resource_metrics
    for scope in resource.scope_metrics
    for metric in scope.metrics
    for point in metric.data.data_points
]
print(json.dumps({
    "points": points,
    "spans": [dict(span.attributes) for span in spans.get_finished_spans()],
    "windows": [
        {"start_s": w.start_s, "end_s": w.end_s, "energy_j": w.energy.total_j,
         "bound_j": w.energy.bound_j, "status": w.energy.status} for w in windows
    ],
}))
"""


def test_both_exporters_have_the_sums_of_windows_of_one_name(
    tmp_path: Path, gpu_env: dict[str, str]
) -> None:
    found = run_script(MEASURED, tmp_path, gpu_env)
    first, *decodes = found["windows"]
    assert first["energy_j"] == pytest.approx(true_j(first, gpu_env), abs=first["bound_j"])
    decode_j = sum(window["energy_j"] for window in decodes)
    bound_j = sum(window["bound_j"] for window in decodes)
    seconds = sum(window["end_s"] - window["start_s"] for window in decodes)

    text = (tmp_path / "llem.prom").read_text()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    labels = (("device", "GPU-trainer"), ("window", "decode"))
    assert samples["llem_window_energy_joules_total", *labels] == pytest.approx(decode_j)
    assert samples["llem_window_energy_bound_joules_total", *labels] == pytest.approx(bound_j)
    assert samples["llem_window_metered_seconds_total", *labels] == pytest.approx(seconds)
    assert samples["llem_window_seconds_total", ("window", "decode")] == pytest.approx(seconds)
    quoted = (("device", "GPU-trainer"), ("window", 'pre"fill\\'))
    assert samples["llem_window_energy_joules_total", *quoted] == pytest.approx(first["energy_j"])

    points = [point for point in found["points"] if point["llem.window"] == "decode"]
    (energy,) = [point for point in points if point["name"] == "llem.window.energy"]
    assert (energy["unit"], energy["llem.device"]) == ("J", "GPU-trainer")
    assert energy["value"] == pytest.approx(decode_j)
    assert sum(p["value"] for p in points if p["name"] == "llem.windows") == 2
    durations = [p["value"] for p in points if p["name"] == "llem.window.duration"]
    assert sum(durations) == pytest.approx(seconds)
    assert [span["llem.energy_j"] for span in found["spans"]] == [
        window["energy_j"] for window in found["windows"]
    ]


def test_a_missing_energy_is_counted_and_adds_no_joules() -> None:
    metrics = PrometheusWindows()
    with EnergyMeter(sources=["none"]) as meter:
        with meter.window("work\n") as window:
            pass
        metrics.add(window)
        with pytest.raises(MeasurementError, match="expected a closed window"):
            metrics.add(meter.window("new"))
    assert 'llem_windows_total{window="work\\n",status="missing"} 1' in metrics.text()
    assert "joules" not in metrics.text()
    assert PrometheusWindows().text() == ""


def test_importing_llem_energy_loads_no_integration(
    tmp_path: Path, without_gpu: dict[str, str]
) -> None:
    script = (
        "import json, sys\n"
        "from llem_energy import EnergyMeter\n"
        "names = ('torch', 'transformers', 'lightning', 'opentelemetry', 'pytest')\n"
        "print(json.dumps({'loaded': [name for name in names if name in sys.modules]}))\n"
    )
    assert run_script(script, tmp_path, without_gpu) == {"loaded": []}
