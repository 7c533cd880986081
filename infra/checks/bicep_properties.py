"""Reads Bicep files against the models of Azure's own SDKs: unknown properties and values are written out, one a line.

A Bicep compiler does more; it comes from a registry that not every network reaches. Run by the environment that
`install` makes:  python infra/checks/bicep_properties.py infra/azure/*.bicep
"""

import enum
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pycep import BicepParser

# What a PUT of each resource type takes, as the SDK's operation of the same name does.
MODELS = {
    "Microsoft.Authorization/roleAssignments": ("authorization", "RoleAssignmentCreateParameters"),
    "Microsoft.Authorization/roleDefinitions": ("authorization", "RoleDefinition"),
    "Microsoft.Compute/virtualMachines": ("compute", "VirtualMachine"),
    "Microsoft.Compute/virtualMachines/extensions": ("compute", "VirtualMachineExtension"),
    "Microsoft.Consumption/budgets": ("consumption", "Budget"),
    "Microsoft.ContainerRegistry/registries": ("containerregistry", "Registry"),
    "Microsoft.Insights/actionGroups": ("monitor", "ActionGroupResource"),
    "Microsoft.Insights/dataCollectionRuleAssociations": (
        "monitor",
        "DataCollectionRuleAssociationProxyOnlyResource",
    ),
    "Microsoft.Insights/dataCollectionRules": ("monitor", "DataCollectionRuleResource"),
    "Microsoft.Insights/scheduledQueryRules": ("monitor", "ScheduledQueryRuleResource"),
    "Microsoft.KeyVault/vaults": ("keyvault", "VaultCreateOrUpdateParameters"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("msi", "Identity"),
    "Microsoft.Network/natGateways": ("network", "NatGateway"),
    "Microsoft.Network/networkInterfaces": ("network", "NetworkInterface"),
    "Microsoft.Network/networkSecurityGroups": ("network", "NetworkSecurityGroup"),
    "Microsoft.Network/publicIPAddresses": ("network", "PublicIPAddress"),
    "Microsoft.Network/virtualNetworks": ("network", "VirtualNetwork"),
    "Microsoft.OperationalInsights/workspaces": ("loganalytics", "Workspace"),
    "Microsoft.Storage/storageAccounts": ("storage", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": ("storage", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("storage", "BlobContainer"),
    "Microsoft.Storage/storageAccounts/managementPolicies": ("storage", "ManagementPolicy"),
}
OF_BICEP = {"name", "parent", "scope", "dependsOn"}
EXPRESSION = {"function", "operator", "loop_type"}


class Kind(NamedTuple):
    """What may stand in one place: the fields of a model, the values of an enumeration, or anything."""

    fields: dict[str, "Kind"] | None = None
    values: frozenset[str] | None = None


def kind_of(models: Any, name: str, depth: int = 0) -> Kind:
    """By the name of a class; new SDKs describe fields by annotations, old ones by an attribute map."""
    found = getattr(models, name, None)
    if found is None or depth > 12:
        return Kind()
    if issubclass(found, enum.Enum):
        return Kind(values=frozenset(str(row.value) for row in found))
    fields: dict[str, Kind] = {}
    if hasattr(found, "_attribute_map"):
        subtypes = getattr(found, "_subtype_map", {})
        if subtypes:
            return Kind()
        for row in found._attribute_map.values():
            words = re.findall(r"\w+", row["type"])
            path = [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", row["key"])]
            is_map = row["type"].startswith("{")
            _put(fields, path, Kind() if is_map else kind_of(models, words[-1], depth + 1))
        return Kind(fields)
    found.__new__(found)  # which fills the table of fields
    hints = {
        key: hint
        for each in reversed(found.__mro__)
        for key, hint in vars(each).get("__annotations__", {}).items()
    }
    for attribute, field in found._attr_to_rest_field.items():
        hint = str(hints.get(attribute, ""))
        names = re.findall(r"_models\.(\w+)", hint)
        inner = (
            Kind()
            if re.search(r"\bdict\[", hint, re.IGNORECASE) or len(names) != 1
            else kind_of(models, names[0], depth + 1)
        )
        fields[field._rest_name] = inner
    return Kind(fields)


def _put(fields: dict[str, Kind], path: list[str], kind: Kind) -> None:
    if len(path) == 1:
        fields[path[0]] = kind
        return
    below = fields.setdefault(path[0], Kind({})).fields
    if below is not None:
        _put(below, path[1:], kind)


def findings(value: Any, kind: Kind, where: str, names: set[str]) -> Iterator[str]:
    """What stands in a place where it may not. `names` are parameters and variables, which may hold anything."""
    if isinstance(value, list):
        for row in value:
            yield from findings(row, kind, where, names)
    elif isinstance(value, dict) and "loop_type" in value:
        item = value["loop_type"]["detail"]["item_name"]
        yield from findings(value["config"], kind, where, names | {item})
    elif isinstance(value, dict) and not set(value) & EXPRESSION:
        for key, row in value.items():
            if kind.fields is not None and key not in kind.fields:
                yield f"{where}: there is no property {key}; there are {', '.join(sorted(kind.fields))}"
            elif kind.fields is not None:
                yield from findings(row, kind.fields[key], f"{where}.{key}", names)
    elif (
        isinstance(value, str)
        and kind.values is not None
        and value not in kind.values | names
        and "${" not in value
    ):
        yield f"{where}: {value} is none of {', '.join(sorted(kind.values))}"


def check(file: Path) -> list[str]:
    """All findings of one file."""
    tree = BicepParser().parse(file_path=file)
    names = {*tree.get("parameters", {}), *tree.get("variables", {})}
    said: list[str] = []
    for symbol, resource in tree.get("resources", {}).items():
        if resource["type"] not in MODELS:
            said.append(f"{file.name}: {symbol}: no model is known for {resource['type']}")
            continue
        package, name = MODELS[resource["type"]]
        kind = kind_of(importlib.import_module(f"azure.mgmt.{package}.models"), name)
        config = resource["config"].get("config", resource["config"])
        own = {key: row for key, row in config.items() if key not in OF_BICEP}
        said += findings(own, kind, f"{file.name}: {symbol}", names)
    return said


if __name__ == "__main__":
    everything = [row for argument in sys.argv[1:] for row in check(Path(argument))]
    print("\n".join(everything))  # noqa: T201 - its output
    sys.exit(1 if everything else 0)
