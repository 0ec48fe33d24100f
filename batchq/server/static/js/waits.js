/** What nothing of a batch begins for, in words: a server that has asked for it, or a limit of its own. */

import { time } from "./format.js";

/** "The server that items call asks to wait until 14:03:22." */
export function waitWords({ until, rate }) {
  if (rate === null) return `The server that items call asks to wait until ${time(until)}.`;
  return rate.includes("=") ? `${rate} is used up until ${time(until)}.` : `${rate} lets the next begin at ${time(until)}.`;
}

/** The same in a few words. */
export function waitNote({ until }) {
  return `waits until ${time(until)}`;
}
