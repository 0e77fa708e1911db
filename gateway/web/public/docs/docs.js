/** The interface as /api/openapi.json describes it, to read and to try; needs nothing from elsewhere. */
"use strict";

const zh = navigator.language.startsWith("zh");
const words = zh
  ? { send: "发送", body: "请求体", answers: "应答", required: "必填", failed: "没有应答" }
  : { send: "Send", body: "Body", answers: "Answers", required: "required", failed: "No answer" };

/** An element with text and children; nothing of the description is ever taken as HTML. */
function element(name, text = "", ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

/** A schema behind its reference. */
function resolved(api, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? api.components.schemas[name] : (schema ?? {});
}

/** What a body may look like: the example of the schema, or its fields. */
function sample(api, schema) {
  const known = resolved(api, schema);
  if (known.examples?.length) return known.examples[0];
  if (known.default !== undefined) return known.default;
  if (known.enum) return known.enum[0];
  if (known.properties) {
    return Object.fromEntries(Object.entries(known.properties).map(([key, value]) => [key, sample(api, value)]));
  }
  return { string: "", integer: 0, number: 0, boolean: false, array: [] }[known.type] ?? null;
}

function field(name, note, input) {
  const label = element("label", "", element("code", name), element("span", note), input);
  input.name = name;
  return label;
}

function operation(api, method, path, what) {
  const form = element("form", "");
  const description = element("p", what.description ?? what.summary);
  description.className = "description";
  form.append(description);
  for (const parameter of what.parameters ?? []) {
    const input = element("input");
    input.required = parameter.required === true;
    input.value = parameter.schema.examples?.[0] ?? "";
    const must = input.required ? ` (${words.required})` : "";
    form.append(field(parameter.name, `${parameter.description ?? ""}${must}`, input));
  }
  const schema = what.requestBody?.content?.["application/json"]?.schema;
  const body = element("textarea");
  if (schema) {
    body.value = JSON.stringify(sample(api, schema), null, 1);
    form.append(field(words.body, resolved(api, schema).description ?? "", body));
  }
  const answers = Object.entries(what.responses).map(([code, answer]) => `${code} ${answer.description}`);
  const shown = element("pre");
  shown.hidden = true;
  form.append(element("p", `${words.answers}: ${answers.join(" · ")}`), element("button", words.send), shown);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    for (const parameter of what.parameters ?? []) {
      const value = form.elements[parameter.name].value;
      if (value !== "") query.append(parameter.name, value);
    }
    void send(shown, method, query.size ? `${path}?${query}` : path, schema ? body.value : null);
  });
  const summary = element("summary", "", element("b", method.toUpperCase()), element("code", path));
  return element("details", "", summary, form);
}

async function send(shown, method, address, body) {
  shown.hidden = false;
  shown.textContent = "…";
  try {
    const headers = body === null ? {} : { "content-type": "application/json" };
    const reply = await fetch(address, { method, headers, body, credentials: "same-origin" });
    const text = await reply.text();
    shown.textContent = `${reply.status} ${reply.statusText}\n${pretty(text).slice(0, 100_000)}`;
  } catch (error) {
    shown.textContent = `${words.failed}: ${error}`;
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}

async function start() {
  document.documentElement.lang = zh ? "zh-CN" : "en";
  const api = await (await fetch("/api/openapi.json")).json();
  document.getElementById("about").textContent = api.info.description;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, what] of Object.entries(methods)) {
      const tag = what.tags?.[0] ?? "";
      if (!groups.has(tag)) groups.set(tag, element("section", "", element("h2", tag)));
      groups.get(tag).append(operation(api, method, path, what));
    }
  }
  document.getElementById("operations").append(...groups.values());
}

void start();
