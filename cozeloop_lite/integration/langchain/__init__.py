"""LangChain and LangGraph: each step of a chain, graph or agent becomes a span.

    from cozeloop_lite.integration.langchain.trace_callback import LoopTracer

    chain.invoke(question, config={"callbacks": [LoopTracer.get_callback_handler()]})
"""
