// The API page: /api/openapi.json as text. Nothing is fetched but that file.

import { call, h, hasToken, signIn, takeTokenFromAddress } from "./client.js";

const METHODS = ["get", "post", "put", "delete"];

function groups(description) {
  const byTag = new Map((description.tags ?? []).map((tag) => [tag.name, { about: tag.description ?? "", operations: [] }]));
  for (const [path, item] of Object.entries(description.paths ?? {})) {
    for (const method of METHODS) {
      const operation = item[method];
      if (!operation) continue;
      const tag = operation.tags?.[0] ?? "other";
      if (!byTag.has(tag)) byTag.set(tag, { about: "", operations: [] });
      byTag.get(tag).operations.push({ method, path, operation, shared: item.parameters ?? [] });
    }
  }
  return [...byTag].filter(([, group]) => group.operations.length > 0);
}

function paragraphs(text) {
  return (text ?? "").split(/\n\s*\n/).filter((part) => part.trim() !== "").map((part) => h("p", {}, part.replaceAll("\n", " ")));
}

function operationCard({ method, path, operation, shared }) {
  const parameters = [...shared, ...(operation.parameters ?? [])];
  return h("details", { class: "card operation", id: operation.operationId ?? `${method} ${path}` },
    h("summary", {}, h("span", { class: `method ${method}` }, method.toUpperCase()), h("span", { class: "path" }, path),
      h("span", { class: "quiet" }, operation.summary ?? "")),
    h("div", {},
      paragraphs(operation.description),
      parameters.length ? table(["Parameter", "Type", "Meaning"], parameters.map((one) => [
        `${one.name}${one.required ? "" : " (optional)"}`, type(one.schema), [one.in, one.description].filter(Boolean).join(": "),
      ])) : null,
      operation.requestBody ? [h("h3", {}, "Body"), contents(operation.requestBody)] : null,
      h("h3", {}, "Answers"),
      table(["Status", "What", "Content"], Object.entries(operation.responses ?? {}).map(([status, one]) =>
        [status, one.description ?? "", h("div", {}, contents(one))]))));
}

function contents(body) {
  return Object.entries(body.content ?? {}).map(([kind, content]) => h("p", {}, h("code", {}, kind), content.schema ? ": " : "", type(content.schema)));
}

function table(heads, rows) {
  return h("table", {},
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))));
}

/** A schema in a few words, its names leading to where they are described. */
function type(schema, depth = 0) {
  if (schema === undefined || depth > 6) return h("span", {});
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return h("a", { href: `#schema-${name}` }, name);
  }
  const several = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (several) return h("span", {}, several.map((one, at) => [at ? (schema.allOf ? " and " : " or ") : "", type(one, depth + 1)]).flat());
  if (schema.enum) return h("span", {}, schema.enum.map((value) => JSON.stringify(value)).join(", "));
  const kinds = [schema.type ?? "anything"].flat();
  return h("span", {}, kinds.map((kind, at) => [at ? " or " : "",
    kind === "array" && schema.items ? h("span", {}, "list of ", type(schema.items, depth + 1))
    : kind === "object" && typeof schema.additionalProperties === "object" ? h("span", {}, "object of ", type(schema.additionalProperties, depth + 1))
    : `${kind}${schema.format && kind !== "null" ? ` (${schema.format})` : ""}`]).flat(),
  limits(schema));
}

function limits(schema) {
  const said = [];
  if (schema.minimum !== undefined) said.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) said.push(`to ${schema.maximum}`);
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  return said.length ? `, ${said.join(" ")}` : "";
}

function shapes(schemas) {
  return Object.entries(schemas).map((one) => schemaCard(one, schemas));
}

function schemaCard([name, schema], schemas) {
  const parts = (schema.allOf ?? [schema]).map((part) => (part.$ref ? schemas[part.$ref.split("/").at(-1)] : part));
  const properties = parts.flatMap((part) => Object.entries(part.properties ?? {}).map(([field, one]) => [
    `${field}${(part.required ?? []).includes(field) ? "" : " (optional)"}`, type(one), one.description ?? ""]));
  return h("details", { class: "card operation", id: `schema-${name}` },
    h("summary", {}, h("span", { class: "path" }, name), h("span", { class: "quiet" }, (schema.description ?? "").split("\n")[0])),
    h("div", {}, paragraphs(schema.description),
      properties.length ? table(["Field", "Type", "Meaning"], properties) : h("p", {}, type(schema))));
}

/** What the address points at is opened and shown. */
function reveal() {
  const id = location.hash.slice(1);
  const target = id === "" ? null : document.getElementById(id);
  if (!target) return;
  if ("open" in target) target.open = true;
  target.scrollIntoView({ block: "start" });
}

async function begin() {
  takeTokenFromAddress();
  // What can be copied speaks to this server.
  for (const code of document.querySelectorAll("main pre.code")) {
    code.textContent = code.textContent.replaceAll("http://127.0.0.1:8787", location.origin);
  }
  if (!hasToken()) await signIn();
  const place = document.getElementById("description");
  try {
    const description = await call("GET", "/api/openapi.json");
    place.replaceChildren(
      ...groups(description).map(([tag, { about, operations }]) =>
        h("section", { class: "api" }, h("h2", {}, tag), paragraphs(about), operations.map(operationCard))),
      h("section", { class: "api" }, h("h2", {}, "Shapes"), shapes(description.components?.schemas ?? {})));
  } catch (error) {
    place.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
  }
  place.removeAttribute("aria-busy");
  addEventListener("hashchange", reveal);
  reveal();
}

begin();
