"""For the people who run it: health and Prometheus metrics. Needs no log-in, shows no value.

Who is not logged in learns whether it works, and no name of anything.
"""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from gateway import VERSION
from gateway.answer.plant import HealthAnswer
from gateway.state import State, state, whoever

router = APIRouter(tags=["operation"])


STRANGERS = 100
"""So many links of strangers are listed."""


@router.get("/healthz", responses={503: {"model": HealthAnswer}}, response_model_exclude_none=True)
def healthz(request: Request, response: Response) -> HealthAnswer:
    """200 while the gateway hears the broker, 503 while it does not.

    Links, viewers and version are told to who is logged in.
    """
    kaikou = state(request)
    broker = kaikou.connected()
    if not broker:
        response.status_code = 503
    own, strange = _links(kaikou)
    health = HealthAnswer(
        status="ok" if broker else "no broker",
        broker=broker,
        edges=len(kaikou.plant.edges),
        edges_up=sum(link["state"] == "up" for link in own if link["edge"] in kaikou.plant.edges),
    )
    if whoever(request) is None:
        return health
    details = {"links": [*own, *strange[:STRANGERS]], "strange_links": len(strange)}
    return health.model_copy(
        update={**details, "viewers": kaikou.stream.viewers, "version": VERSION}
    )


def _links(kaikou: State) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Links of our own nodes, and those of strangers, which are group/node."""
    links = kaikou.links()
    strange = [link for link in links if "/" in str(link["edge"])]
    return [link for link in links if "/" not in str(link["edge"])], strange


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
        own, strange = _links(kaikou)
        for entry in own:
            link.add_metric([str(entry["edge"])], float(entry["state"] == "up"))
        return [
            link,
            GaugeMetricFamily("kaikou_strange_links", "nodes not of this plant", len(strange)),
            CounterMetricFamily(
                "kaikou_refused", "messages of the bus not taken", kaikou.refused()
            ),
            CounterMetricFamily(
                "kaikou_inbound_dropped", "messages that found no room", kaikou.dropped()
            ),
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
            GaugeMetricFamily("kaikou_connections", "connections open", len(kaikou.connections)),
            CounterMetricFamily(
                "kaikou_connections_evicted", "that made room", kaikou.connections.evicted
            ),
            CounterMetricFamily(
                "kaikou_connections_stalled",
                "cut off, idle or not read",
                kaikou.connections.stalled,
            ),
            CounterMetricFamily(
                "kaikou_connections_refused", "not let in", kaikou.connections.refused
            ),
            CounterMetricFamily("kaikou_live_updates", "live updates", kaikou.live.revision),
        ]
