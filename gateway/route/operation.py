"""For the people who run it: health and Prometheus metrics. Needs no log-in, shows no value."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from gateway import VERSION
from gateway.answer.plant import HealthAnswer
from gateway.state import State, state

router = APIRouter(tags=["operation"])


@router.get("/healthz", responses={503: {"model": HealthAnswer}})
def healthz(request: Request, response: Response) -> HealthAnswer:
    """200 while the gateway hears the broker, 503 while it does not."""
    kaikou = state(request)
    broker = kaikou.connected()
    if not broker:
        response.status_code = 503
    return HealthAnswer(
        status="ok" if broker else "no broker",
        broker=broker,
        links=kaikou.links(),
        viewers=kaikou.stream.viewers,
        version=VERSION,
    )


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Prometheus text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(state(request)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Collector:
    def __init__(self, kaikou: State) -> None:
        self._kaikou = kaikou

    def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        """The gateway's figures, made when asked for."""
        kaikou = self._kaikou
        link = GaugeMetricFamily("kaikou_link_up", "1 while an edge is heard", labels=["edge"])
        for entry in kaikou.links():
            link.add_metric([str(entry["edge"])], float(entry["state"] == "up"))
        return [
            link,
            GaugeMetricFamily("kaikou_broker_up", "1 while connected", float(kaikou.connected())),
            GaugeMetricFamily("kaikou_viewers", "WebSockets open", kaikou.stream.viewers),
            GaugeMetricFamily("kaikou_signals", "signals known", len(kaikou.live.table)),
            CounterMetricFamily("kaikou_frames", "frames encoded", kaikou.stream.frames),
            CounterMetricFamily(
                "kaikou_frames_dropped", "frames that slow viewers missed", kaikou.stream.dropped
            ),
            GaugeMetricFamily(
                "kaikou_history_waiting", "questions under way", kaikou.history.waiting
            ),
            CounterMetricFamily(
                "kaikou_history_refused", "questions refused", kaikou.history.refused
            ),
            CounterMetricFamily("kaikou_live_updates", "live updates", kaikou.live.revision),
        ]
