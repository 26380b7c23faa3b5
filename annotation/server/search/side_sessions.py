"""Sessions beside the pool that serves requests.

Whoever already holds one of the pool's connections, as every request does, must not wait for another of them: as many
requests as the pool is large would wait for one another.
"""

from __future__ import annotations

from argilla_server.database import async_engine
from argilla_server.settings import settings
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

SideSession = async_sessionmaker(
    autocommit=False,
    expire_on_commit=False,
    bind=create_async_engine(
        async_engine.url,
        poolclass=NullPool,
        connect_args=settings.database_engine_args.get("connect_args", {}),
    ),
)
"""Each session has a connection of its own, opened for it and closed with it."""
