// Numbers and times as people read them, in the words of `spliceway ctl`.

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** Bytes: `0 B`, `1.5 MiB`, `240 MiB`. */
export function bytes(count) {
  if (count < 1024) return `${Math.round(count)} B`;
  let value = count / 1024;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 99.95 ? 1 : 0)} ${UNITS[unit]}`;
}

export function bytesPerSecond(count) {
  return `${bytes(count)}/s`;
}

/** A whole number, its digits in threes. */
export function count(number) {
  return Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** How often in a second: with a digit more where that is seldom. */
export function rate(number) {
  return number > 0 && number < 10 ? number.toFixed(1) : count(number);
}

/** Milliseconds: `3ms`, `4s`, `2m 5s`, `1h 3m`, `2d 4h`. */
export function time(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return `${Math.round(milliseconds)}ms`;
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86400)}d ${Math.floor((seconds % 86400) / 3600)}h`;
}

/** Microseconds: `850µs`, `2.4ms`. */
export function short(microseconds) {
  if (microseconds < 10) return `${microseconds.toFixed(1)}µs`;
  if (microseconds < 1000) return `${Math.round(microseconds)}µs`;
  return `${(microseconds / 1000).toFixed(1)}ms`;
}

/** The time of the day, here. */
export function clock(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString([], { hourCycle: "h23" });
}

/** The bytes of a direction, whichever way they went. */
export function total(moved) {
  return moved.copied + moved.spliced + moved.filtered;
}

/** The way that most bytes of both directions went. */
export function mainWay(up, down) {
  const ways = ["spliced", "copied", "filtered"].map((way) => [way, up[way] + down[way]]);
  const [way, most] = ways.reduce((best, other) => (other[1] > best[1] ? other : best));
  return most > 0 ? way : "–";
}
