"use strict";
// Draws the OpenAPI document as a page.

let schemas = {};

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function outline(schema, depth = 0) {
  if (!schema) return "anything";
  if (schema.$ref) return outline(schemas[schema.$ref.split("/").pop()], depth);
  const pad = "  ".repeat(depth + 1);
  if (schema.anyOf) return schema.anyOf.map((one) => outline(one, depth)).join("\n" + "  ".repeat(depth) + "or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const kinds = [schema.type || "anything"].flat();
  if (kinds.includes("array")) return bounds(schema, "[" + outline(schema.items, depth) + "]") + rest(kinds, "array");
  if (schema.properties && Object.keys(schema.properties).length) {
    const required = new Set(schema.required || []);
    const lines = Object.entries(schema.properties).map(([name, value]) =>
      pad + JSON.stringify(name) + (required.has(name) ? "" : "?") + ": " + outline(value, depth + 1));
    return "{\n" + lines.join(",\n") + "\n" + "  ".repeat(depth) + "}";
  }
  if (typeof schema.additionalProperties === "object") return "{name: " + outline(schema.additionalProperties, depth + 1) + "}";
  const range = schema.minimum !== undefined && schema.maximum !== undefined ? ` ${schema.minimum}..${schema.maximum}` : "";
  return kinds.map((kind) => (kind === "number" ? kind + range : kind)).join(" | ");
}

function rest(kinds, but) {
  return kinds.filter((kind) => kind !== but).map((kind) => " | " + kind).join("");
}

function bounds(schema, text) {
  return schema.maxItems > 1 ? `${text}  (${schema.minItems || 0} to ${schema.maxItems})` : text;
}

function code(text) {
  const pre = element("pre");
  pre.tabIndex = 0;
  pre.append(element("code", text));
  return pre;
}

function table(heads, rows) {
  const made = element("table", undefined, "plain");
  const head = element("tr");
  head.append(...heads.map((text) => element("th", text)));
  made.append(head, ...rows.map((cells) => {
    const row = element("tr");
    row.append(...cells.map((text, index) => {
      const cell = element("td");
      cell.append(index === 0 ? element("code", text) : text);
      return cell;
    }));
    return row;
  }));
  const scroll = element("div", undefined, "scroll");
  scroll.append(made);
  return scroll;
}

function drawOperation(path, verb, facts) {
  const box = element("details", undefined, "operation");
  box.open = verb === "post";
  const summary = element("summary");
  summary.append(element("span", verb.toUpperCase(), "verb " + verb), element("code", path, "path"), element("span", facts.summary));
  const inside = element("div");
  if (facts.description) inside.append(element("p", facts.description));
  inside.append(element("p", facts.security.some((one) => one.bearer) ? "Needs a key." : "Needs no key.", "hint"));
  if (facts.parameters) {
    inside.append(element("h3", "Parameters"), table(["Name", "In", "Meaning"],
      facts.parameters.map((one) => [one.name, one.in, one.description + " " + outline(one.schema)])));
  }
  if (facts.requestBody) {
    const drawn = new Set();
    for (const [kind, media] of Object.entries(facts.requestBody.content)) {
      const text = media.schema.format === "binary" ? "the bytes of an image" : outline(media.schema);
      inside.append(element("h3", "Body: " + kind));
      if (!drawn.has(text)) inside.append(code(text));
      drawn.add(text);
      for (const example of Object.values(media.examples || {})) {
        inside.append(element("p", example.summary + ":", "hint"), code(JSON.stringify(example.value, null, 2)));
      }
    }
  }
  for (const [status, answer] of Object.entries(facts.responses)) {
    const media = Object.entries(answer.content || {})[0];
    if (status === "200" && media && media[0] === "application/json") inside.append(element("h3", "Answer 200"), code(outline(media[1].schema)));
  }
  inside.append(element("h3", "Status"), table(["Code", "Meaning"],
    Object.entries(facts.responses).map(([status, answer]) => [status, answer.description])));
  box.append(summary, inside);
  return box;
}

async function draw() {
  const found = await (await fetch("/openapi.json")).json();
  schemas = found.components.schemas;
  document.getElementById("title").textContent = found.info.title;
  document.getElementById("about").textContent = found.info.description;
  document.getElementById("operations").replaceChildren(...Object.entries(found.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, facts]) => drawOperation(path, verb, facts))));
}

draw();
