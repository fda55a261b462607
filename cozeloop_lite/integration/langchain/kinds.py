"""What a step of LangChain is, from what LangChain tells when it begins: its name, its kind, the versions at work."""

from __future__ import annotations

import functools
import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HIDDEN = "langsmith:hidden"  # the tag of what LangGraph does between the nodes of a graph, and itself does not show


def node_name(serialized: Any, about: dict[str, Any]) -> str:
    """The name of a step: of a graph's node that of the node, else what it was called, else that of its class."""
    stored = serialized if isinstance(serialized, dict) else {}
    return about.get("name") or stored.get("name") or class_name(stored) or "unknown"


def class_name(stored: Any) -> str:
    """The class of what is in LangChain's form for storage; ``""`` where that is not told."""
    path = stored.get("id") if isinstance(stored, dict) else None
    return str(path[-1]) if isinstance(path, list) and path else ""


def chain_kind(serialized: Any, about: dict[str, Any]) -> str:
    """The type of the span of what LangChain calls a chain, which is nearly everything."""
    name, metadata = node_name(serialized, about), about.get("metadata") or {}
    if about.get("run_type") in ("prompt", "parser", "retriever"):
        return str(about["run_type"])
    if name == "AgentExecutor" or (name == metadata.get("lc_agent_name") and name != metadata.get("langgraph_node")):
        return "agent"
    if name == "LangGraph" or "langgraph_node" not in metadata:  # nodes have all that their graph has, and that
        integration = metadata.get("ls_integration")
        if integration == "langchain_create_agent":
            return "agent"
        if name == "LangGraph" or integration == "langgraph":
            return "graph"
    return "chain"


@functools.lru_cache(maxsize=None)
def runtime() -> dict[str, Any]:
    """The framework and its versions, as the span keeps them."""
    versions = {name: _version(name) for name in ("langchain", "langchain-core", "langgraph")}
    extra = {name.replace("-", "_") + "_version": version for name, version in versions.items() if version}
    version = extra.pop("langchain_version", None)
    return {"library": "langchain", "library_version": version, "scene": "integration", "extra": extra}


def _version(name: str) -> str | None:
    metadata = importlib.import_module("importlib.metadata")  # from Python 3.8 on, which langchain-core needs
    try:
        return str(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None
