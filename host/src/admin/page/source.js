// Where the figures come from: server-sent events, read with `fetch`, since an EventSource cannot send a token.

/** No event for so long, of one that comes each second: the connection is lost, whatever the browser says. */
const SILENCE = 6000;

/** How long to wait before it is tried again: more each time, and never as long as a person would wait. */
const WAITS = [1000, 2000, 4000, 8000, 15000];

/** One event has so much text at the most. */
const LONGEST = 64 * 1024 * 1024;

/**
 * Calls `heard` with each overview, and `changed` with how the connection is: `connecting`, `live`, `lost` (with the reason,
 * and after how many milliseconds it is tried again) or `denied`, after which nothing more is tried. Returns what stops it.
 */
export function watch(path, token, heard, changed) {
  const stopped = new AbortController();
  run(path, token, heard, changed, stopped.signal);
  return () => stopped.abort();
}

async function run(path, token, heard, changed, stopped) {
  for (let tries = 0; !stopped.aborted; tries += 1) {
    changed("connecting", {});
    let reason;
    try {
      reason = await listen(path, token, stopped, (overview) => {
        if (tries !== -1) changed("live", {});
        tries = -1;
        heard(overview);
      });
    } catch (error) {
      reason = error;
    }
    if (stopped.aborted) return;
    if (reason.status === 401) return changed("denied", { reason: reason.message });
    const wait = WAITS[Math.min(Math.max(tries, 0), WAITS.length - 1)] * (0.8 + 0.4 * Math.random());
    changed("lost", { reason: reason.message, wait });
    await pause(wait, stopped);
  }
}

/** Until the events end. Returns, or throws, why. */
async function listen(path, token, stopped, heard) {
  const silent = new AbortController();
  const stop = () => silent.abort(new Error("It was stopped."));
  stopped.addEventListener("abort", stop, { once: true });
  let timer;
  const hearing = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silent.abort(new Error("It says nothing.")), SILENCE);
  };
  try {
    hearing();
    const headers = { Accept: "text/event-stream" };
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(path, { headers, signal: silent.signal, cache: "no-store" });
    if (!answer.ok) return await refusal(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return new Error("It has ended the connection.");
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      if (text.length > LONGEST) return new Error("It says too much.");
      for (const part of parts) {
        const data = dataOf(part);
        if (data !== "") {
          hearing();
          heard(JSON.parse(data));
        }
      }
    }
  } catch (error) {
    if (silent.signal.aborted) return silent.signal.reason;
    // A browser's own words for this are "Failed to fetch", and each has others.
    return error instanceof TypeError ? new Error("Nobody answers.") : error;
  } finally {
    clearTimeout(timer);
    stopped.removeEventListener("abort", stop);
    silent.abort();
  }
}

/** The lines of an event that are its data. */
function dataOf(event) {
  const lines = event.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}

async function refusal(answer) {
  const failure = await answer.json().catch(() => ({}));
  const words = failure.error ? `${failure.error}: ${failure.hint}.` : `The answer is ${answer.status}.`;
  return Object.assign(new Error(words), { status: answer.status });
}

function pause(milliseconds, stopped) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    stopped.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });
}
