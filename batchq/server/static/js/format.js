/** Numbers, times and texts for people: separators and time zone of the reader, the words of the command line. */

import { el } from "./dom.js";

const whole = new Intl.NumberFormat();
const tenth = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const digits = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const timeOnly = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const UNITS = ["bytes", "KB", "MB", "GB", "TB"];

/** 12,000 */
export function number(value) {
  return whole.format(value);
}

/** "1 item", "12,000 items" */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** "37%"; nothing rounds up to 100 before it is all, nor down to 0 after the first. */
export function percent(part, all) {
  if (!all) return "0%";
  const share = (100 * part) / all;
  return `${share > 0 && share < 1 ? "<1" : Math.floor(share)}%`;
}

/** Seconds: "42 ms", "7.2 s", "1 min 15 s", "2 h 03 min", "3 d 04 h" */
export function duration(seconds) {
  if (seconds < 0.995) return `${digits.format(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${tenth.format(seconds)} s`;
  const pad = (value) => String(value).padStart(2, "0");
  const rounded = Math.round(seconds);
  if (rounded < 3600) return `${Math.floor(rounded / 60)} min ${pad(rounded % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${pad(hours % 24)} h`;
}

/** Whole seconds that have gone by: "4 s", "2 min", "1 h" */
export function age(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

/** Items per second: "12,000 items/s", "12.3 items/s", "3.0 items/min" */
export function rate(perSecond) {
  if (perSecond >= 100) return `${whole.format(Math.round(perSecond))} items/s`;
  if (perSecond >= 1) return `${tenth.format(perSecond)} items/s`;
  return `${tenth.format(perSecond * 60)} items/min`;
}

/** "1.4 MB" */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < UNITS.length - 1; unit += 1) value /= 1000;
  return `${unit ? tenth.format(value) : whole.format(value)} ${UNITS[unit]}`;
}

/** On one line, cut to `length`. */
export function shorten(text, length = 100) {
  const line = String(text).slice(0, 4 * length).replace(/\s+/g, " ").trim();
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}

/** A value of JSON on one line. */
export function oneLine(value, length = 160) {
  return shorten(typeof value === "string" ? value : JSON.stringify(value), length);
}

/** "ValueError: no text"; the text of an error without one is its repr, which begins with its type. */
export function errorWords(type, text) {
  return String(text).startsWith(`${type}(`) ? String(text) : `${type}: ${text}`;
}

/** Seconds since 1970 as a time of the reader. */
export function clock(seconds) {
  return timeOnly.format(new Date(seconds * 1000));
}

/** A time of the reader as text; the day too, where that is not today. */
export function time(iso) {
  const date = new Date(iso);
  return (date.toDateString() === new Date().toDateString() ? timeOnly : dayAndTime).format(date);
}

/** A time of the reader, with the UTC of the command line in its title. */
export function moment(iso) {
  const date = new Date(iso);
  const utc = `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return el("time", { datetime: iso, title: utc }, time(iso));
}
