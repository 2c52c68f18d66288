"""The tables of a person server, and how they became what they are."""

from __future__ import annotations

from typing import Final

from ..store import Migration

MIGRATIONS: Final = (
    Migration(
        room="person",
        version=1,
        statements=(
            "CREATE TABLE person_server (only_one BIGINT PRIMARY KEY, issuer TEXT NOT NULL)",
            """CREATE TABLE person_agents (
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                person TEXT NOT NULL,
                since BIGINT NOT NULL,
                PRIMARY KEY (agent_iss, agent_sub)
            )""",
            "CREATE INDEX person_agents_person ON person_agents (person)",
            """CREATE TABLE person_subjects (
                person TEXT NOT NULL,
                resource TEXT NOT NULL,
                sub TEXT NOT NULL UNIQUE,
                since BIGINT NOT NULL,
                PRIMARY KEY (person, resource)
            )""",
            """CREATE TABLE person_agent_tokens (
                iss TEXT NOT NULL,
                jti TEXT NOT NULL,
                sub TEXT NOT NULL,
                exp BIGINT NOT NULL,
                PRIMARY KEY (iss, jti)
            )""",
            "CREATE INDEX person_agent_tokens_exp ON person_agent_tokens (exp)",
            """CREATE TABLE person_issued (
                jti TEXT PRIMARY KEY,
                typ TEXT NOT NULL,
                person TEXT NOT NULL,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                jkt TEXT NOT NULL,
                aud TEXT NOT NULL,
                sub TEXT NOT NULL,
                scope TEXT NOT NULL,
                account TEXT NOT NULL,
                issued BIGINT NOT NULL,
                exp BIGINT NOT NULL,
                decisions TEXT NOT NULL,
                agent_jti TEXT NOT NULL,
                presented_jti TEXT,
                resource_jti TEXT,
                upstream_iss TEXT,
                upstream_jti TEXT,
                access_server TEXT
            )""",
            "CREATE INDEX person_issued_agent ON person_issued (agent_iss, agent_sub, exp)",
            "CREATE INDEX person_issued_person ON person_issued (person, issued)",
            "CREATE INDEX person_issued_exp ON person_issued (exp)",
            """CREATE TABLE person_decisions (
                id TEXT PRIMARY KEY,
                person TEXT NOT NULL,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                resource TEXT NOT NULL,
                kind TEXT NOT NULL,
                account TEXT NOT NULL,
                asked TEXT NOT NULL,
                granted TEXT NOT NULL,
                memory TEXT NOT NULL,
                decided BIGINT NOT NULL,
                number BIGINT NOT NULL,
                decided_by TEXT NOT NULL,
                shown TEXT NOT NULL,
                jkt TEXT,
                ends BIGINT,
                over BIGINT
            )""",
            """CREATE INDEX person_decisions_standing
                ON person_decisions (person, agent_iss, agent_sub, resource, kind, account) WHERE over IS NULL""",
        ),
    ),
    Migration(
        room="person",
        version=2,
        statements=(
            "ALTER TABLE person_issued ADD COLUMN revoked BIGINT",
            """CREATE TABLE person_resource_tokens (
                iss TEXT NOT NULL,
                jti TEXT NOT NULL,
                pending TEXT,
                issued TEXT,
                prompted BIGINT NOT NULL,
                exp BIGINT NOT NULL,
                PRIMARY KEY (iss, jti)
            )""",
            "CREATE INDEX person_resource_tokens_pending ON person_resource_tokens (pending)",
            "CREATE INDEX person_resource_tokens_exp ON person_resource_tokens (exp)",
            "CREATE INDEX person_decisions_over ON person_decisions (over)",
            """CREATE INDEX person_decisions_passing
                ON person_decisions (decided) WHERE over IS NULL AND memory <> 'kept'""",
        ),
    ),
    Migration(
        room="person",
        version=3,
        statements=(
            "ALTER TABLE person_issued ADD COLUMN mission TEXT",
            "CREATE INDEX person_issued_mission ON person_issued (mission, exp) WHERE mission IS NOT NULL",
            "ALTER TABLE person_decisions ADD COLUMN mission TEXT NOT NULL DEFAULT ''",
            "DROP INDEX person_decisions_standing",
            """CREATE INDEX person_decisions_standing
                ON person_decisions (person, agent_iss, agent_sub, resource, kind, account, mission)
                WHERE over IS NULL""",
            "CREATE INDEX person_decisions_mission ON person_decisions (mission) WHERE mission <> '' AND over IS NULL",
            """CREATE TABLE person_missions (
                s256 TEXT PRIMARY KEY,
                person TEXT NOT NULL,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                blob TEXT NOT NULL,
                approved BIGINT NOT NULL,
                expires BIGINT,
                capabilities TEXT NOT NULL,
                reason TEXT,
                ended BIGINT
            )""",
            "CREATE INDEX person_missions_person ON person_missions (person, approved)",
            "CREATE INDEX person_missions_agent ON person_missions (agent_iss, agent_sub) WHERE ended IS NULL",
            "CREATE INDEX person_missions_ended ON person_missions (ended) WHERE ended IS NOT NULL",
            "CREATE INDEX person_missions_expires ON person_missions (expires) WHERE ended IS NULL",
            """CREATE TABLE person_mission_log (
                mission TEXT NOT NULL,
                number BIGINT NOT NULL,
                at BIGINT NOT NULL,
                kind TEXT NOT NULL,
                entry TEXT NOT NULL,
                s256 TEXT,
                PRIMARY KEY (mission, number)
            )""",
            """CREATE TABLE person_mission_counts (
                mission TEXT NOT NULL,
                name TEXT NOT NULL,
                used BIGINT NOT NULL,
                PRIMARY KEY (mission, name)
            )""",
            """CREATE TABLE person_noes (
                person TEXT NOT NULL,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                resource TEXT NOT NULL,
                kind TEXT NOT NULL,
                account TEXT NOT NULL,
                mission TEXT NOT NULL,
                value TEXT NOT NULL,
                since BIGINT NOT NULL,
                PRIMARY KEY (person, agent_iss, agent_sub, resource, kind, account, mission, value)
            )""",
            """CREATE TABLE person_rules (
                only_one BIGINT PRIMARY KEY,
                text TEXT NOT NULL,
                sha256 TEXT NOT NULL,
                since BIGINT NOT NULL
            )""",
            """CREATE TABLE person_stops (
                person TEXT NOT NULL,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                since BIGINT NOT NULL,
                PRIMARY KEY (agent_iss, agent_sub)
            )""",
        ),
    ),
    Migration(
        room="person",
        version=4,
        statements=(
            """CREATE TABLE person_answers (
                joined TEXT PRIMARY KEY,
                outcome TEXT NOT NULL,
                until BIGINT NOT NULL
            )""",
            "CREATE INDEX person_answers_until ON person_answers (until)",
        ),
    ),
    Migration(
        room="person",
        version=5,
        statements=(
            # Of what is over only: else SQLite takes it for `over IS NULL`, and looks at everything that stands.
            "DROP INDEX person_decisions_over",
            "CREATE INDEX person_decisions_over ON person_decisions (over) WHERE over IS NOT NULL",
        ),
    ),
)
