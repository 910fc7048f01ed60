/* Requests to the edge. */

class Refused extends Error {
  constructor(status, error) {
    super(error?.message || `HTTP ${status}`);
    Object.assign(this, { status, reason: error?.reason ?? "", field: error?.field ?? "", retryable: error?.retryable ?? status >= 500 });
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/* Wait before try number n; the network's return ends it at once. */
function backoff(n) {
  return new Promise((done) => {
    const end = () => { removeEventListener("online", end); clearTimeout(timer); done(); };
    const timer = setTimeout(end, Math.min(8000, 400 * 2 ** n) * (0.7 + 0.6 * Math.random()));
    addEventListener("online", end);
  });
}

/* Call the edge; gives what it says. Raises Refused, or TypeError where the network is gone. */
async function call(method, path, body, headers = {}) {
  const asked = { method, headers: { ...headers }, cache: "no-store" };
  if (body !== undefined) {
    asked.headers["Content-Type"] = "application/json";
    asked.body = JSON.stringify(body);
  }
  const answer = await fetch(path, asked);
  const told = answer.headers.get("content-type")?.includes("json") ? await answer.json() : null;
  if (answer.status === 401) location.href = "/sign-in";
  if (!answer.ok) throw new Refused(answer.status, told?.error);
  return told;
}

/* The same, and again until the network is back. For calls that may be repeated. */
async function insist(...asked) {
  for (let tries = 0; ; tries++) {
    try {
      return await call(...asked);
    } catch (error) {
      if (error instanceof Refused && !(error.status === 503 && tries < 8)) throw error;
      await backoff(tries);
    }
  }
}

/* A key that nobody else has. */
const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/* What the edge is and allows, asked once. */
let status;
const edgeStatus = () => (status ??= insist("GET", "/status").catch((error) => { status = null; throw error; }));

/* A part of the page, loaded when first needed; again after the network was away. */
const parts = {};
async function part(name) {
  for (let tries = 0; !parts[name]; tries++) {
    try {
      // A failed import stays failed under its address.
      const address = tries ? `${PARTS[name]}?${tries}` : PARTS[name];
      const loaded = await import(address);
      parts[name] ??= loaded.default(page);
    } catch (error) {
      if (navigator.onLine && tries > 5) throw error;
      await backoff(tries);
    }
  }
  return parts[name];
}
