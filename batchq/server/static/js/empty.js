/** What a server without batches shows: how to begin. */

import { get } from "./api.js";
import { el } from "./dom.js";
import { link } from "./router.js";

/** The page's content. */
export function emptyHome() {
  const command = el("code");
  const call = el("code");
  const tell = (func) => {
    command.textContent = `batchq start ideas.jsonl --func ${func}`;
    call.textContent = [
      `curl -H "Authorization: Bearer $TOKEN" --data-binary @ideas.jsonl \\`,
      `  "${location.origin}/api/v1/batches/upload?name=ideas.jsonl&func=${encodeURIComponent(func)}"`,
    ].join("\n");
  };
  tell("pipeline:make_title");
  get("/handlers").then((answer) => answer.handlers.length && tell(answer.handlers[0].target), () => {});
  return el(
    "div",
    { class: "welcome" },
    el("h2", {}, "No batches yet"),
    el("p", { class: "lead" }, "A batch runs a function over many items, and records what came of each."),
    el("p", {}, el("a", { class: "button primary", href: link(["new"]) }, "Submit a file")),
    el("p", { class: "note" }, "or from a terminal on the server, in the folder of the function:"),
    el("pre", { tabindex: "0", "aria-label": "Command" }, command),
    el("p", { class: "note" }, "or from anywhere:"),
    el("pre", { tabindex: "0", "aria-label": "Call of the API" }, call),
  );
}
