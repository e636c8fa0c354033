"""Configuration: one TOML file, read into frozen typed objects, all its faults told at once.

Every key is described in `docs/configuration.md`; `sceau init` writes a file with comments.
"""

from gateway.config.faults import ConfigFaults, Fault
from gateway.config.load import load, load_policy, with_policy
from gateway.config.pki_sections import (
    Anchor,
    Crl,
    CrlFetch,
    Directory,
    Pki,
    Seal,
)
from gateway.config.policy_sections import PartnerSection, PolicySection, RuleSection
from gateway.config.sections import (
    Archive,
    Config,
    DatabaseSection,
    Gateway,
    Language,
    Listen,
    Log,
    LogFormat,
    LogLevel,
    Metrics,
    Queue,
    Relay,
    Route,
    Workers,
)
from gateway.config.senders import Auth, AuthDemand, AuthDirectory, Client, Sender
from gateway.policy import Tls

__all__ = [
    "Anchor",
    "Archive",
    "Auth",
    "AuthDemand",
    "AuthDirectory",
    "Client",
    "Config",
    "ConfigFaults",
    "Crl",
    "CrlFetch",
    "DatabaseSection",
    "Directory",
    "Fault",
    "Gateway",
    "Language",
    "Listen",
    "Log",
    "LogFormat",
    "LogLevel",
    "Metrics",
    "PartnerSection",
    "Pki",
    "PolicySection",
    "Queue",
    "Relay",
    "Route",
    "RuleSection",
    "Seal",
    "Sender",
    "Tls",
    "Workers",
    "load",
    "load_policy",
    "with_policy",
]
