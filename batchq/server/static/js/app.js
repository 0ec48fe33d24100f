/** Puts the dashboard together. */

import { announcer } from "./announce.js";
import { logOut, wayBack } from "./api.js";
import { openBatch } from "./batch.js";
import { Connection } from "./connection.js";
import { openCreate } from "./create.js";
import { el } from "./dom.js";
import { openList } from "./list.js";
import { link, startRouter } from "./router.js";
import { setUpTheme } from "./theme.js";
import { setTitle } from "./title.js";

const byId = (id) => document.getElementById(id);
const announce = announcer(byId("polite"));
const context = { announce, connection: new Connection(byId("disconnected"), byId("light"), announce) };

function choose(parts) {
  const [first, id] = parts;
  mark(first === "new" ? "new" : "list");
  if (!first) return { key: "list", open: (main, where) => openList(main, where, context) };
  if (first === "new") return { key: "new", open: (main, where) => openCreate(main, where, context) };
  if (first === "batches" && id) {
    return { key: `batch ${id}`, open: (main, where) => openBatch(main, where, context) };
  }
  return { key: "nowhere", open: openNowhere };
}

function mark(name) {
  for (const each of document.querySelectorAll("nav a")) {
    if (each.dataset.name === name) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

function openNowhere(main) {
  setTitle("Not found");
  const back = el("a", { href: link([]), class: "button" }, "All batches");
  main.append(
    el("div", { class: "blank" }, el("h1", { tabindex: "-1" }, "There is no such page"), el("p", {}, back)),
  );
  return {};
}

setUpTheme(byId("theme"));
byId("log-out").addEventListener("click", logOut);
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which page this is
  byId("main").focus();
});
const back = wayBack();
if (back && location.hash.length < 3) history.replaceState(null, "", back);
startRouter(choose, byId("main"));
