// What happens in a second: the difference between two overviews.

import { total } from "./words.js";

/** How far back is remembered, in milliseconds. */
export const SPAN = 180_000;

const WAYS = ["copied", "spliced", "filtered"];

/** The newest overviews as points in time, and what happened in between. */
export class Rates {
  constructor() {
    this.points = [];
    this.last = null;
    this.calls = new Map();
  }

  /** Returns what has happened each second since the overview before, or `null` for the first one. */
  add(overview) {
    const { last } = this;
    const seconds = last ? (overview.at_ms - last.at_ms) / 1000 : 0;
    const isNext = last && seconds > 0 && last.status.pid === overview.status.pid;
    this.last = overview;
    if (last && !isNext) this.points = [];
    const calls = this.since(overview, isNext ? seconds : 0);
    if (!isNext) return null;
    const rate = {
      at: overview.at_ms,
      open: overview.status.connections,
      accepted: per(overview.traffic.accepted, last.traffic.accepted, seconds),
      up: ways(overview.traffic.up, last.traffic.up, seconds),
      down: ways(overview.traffic.down, last.traffic.down, seconds),
      calls,
    };
    this.points.push(rate);
    this.points = this.points.filter((point) => point.at > overview.at_ms - SPAN);
    return rate;
  }

  /** Calls a second of each generation of each filter, and what one has taken: lately, or ever where there was none lately. */
  since(overview, seconds) {
    const before = this.calls;
    const rates = new Map();
    this.calls = new Map();
    for (const filter of overview.filters) {
      for (const generation of filter.generations) {
        const key = `${filter.name}\n${generation.number}`;
        const { calls, busy_us } = generation;
        this.calls.set(key, { calls, busy_us });
        const then = before.get(key);
        const more = then ? calls - then.calls : 0;
        const lately = more > 0 && busy_us > then.busy_us;
        rates.set(key, {
          perSecond: seconds > 0 && more > 0 ? more / seconds : 0,
          each: lately ? (busy_us - then.busy_us) / more : calls > 0 ? busy_us / calls : null,
        });
      }
    }
    return rates;
  }
}

function ways(now, then, seconds) {
  const rates = Object.fromEntries(WAYS.map((way) => [way, per(now[way], then[way], seconds)]));
  return { ...rates, total: total(rates) };
}

/** Counts only grow: less than before is another process's. */
function per(now, then, seconds) {
  return Math.max(0, now - then) / seconds;
}
