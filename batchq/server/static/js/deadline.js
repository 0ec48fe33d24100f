/** A deadline as somebody reads and writes it: by the clock that he looks at, which need not be the server's. */

const CLOCK = /^(\d{1,2}):(\d{2})$/;
const DATE = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?))?$/;

/** Seconds since 1970 as a date and time here; "" for null. */
export function shown(seconds) {
  if (seconds === null) return "";
  const date = new Date(seconds * 1000);
  return `${date.toLocaleDateString("sv")} ${date.toLocaleTimeString("sv")}`;
}

/** What was typed, with its time zone where it lacks one; anything else as it is, for the server to take or refuse. */
export function sent(text) {
  const moment = next(text) ?? local(text);
  return moment === null || Number.isNaN(moment.getTime()) ? text : moment.toISOString();
}

/** When a clock here shows that the next time; null where it is none. */
function next(text) {
  const [, hours, minutes] = CLOCK.exec(text) ?? [];
  if (minutes === undefined || hours > 23 || minutes > 59) return null;
  const now = new Date();
  const moment = new Date(now);
  moment.setHours(Number(hours), Number(minutes), 0, 0);
  if (moment <= now) moment.setDate(moment.getDate() + 1);
  return moment;
}

function local(text) {
  const [, year, month, day, time] = DATE.exec(text) ?? [];
  if (day === undefined) return null;
  const moment = new Date(`${year}-${month}-${day}T${time ?? "00:00"}`);
  return moment.getDate() === Number(day) ? moment : null; // a browser takes February 30th for March 2nd
}
