// Logs a browser in: takes the token, says what is wrong with it, and goes on to where somebody wanted to be.

const form = document.querySelector("form");
const field = document.querySelector("#token");
const said = document.querySelector("#said");
const button = document.querySelector("button");
const asked = new URL(location.href).searchParams;
let counting = 0;

function say(text, isWrong = true) {
  said.textContent = text;
  field.setAttribute("aria-invalid", String(isWrong && text !== ""));
}

// Only to a page of this server: somebody else may have made the link to here.
function goOn() {
  let there;
  try {
    there = new URL(asked.get("next") || "/", location.origin);
  } catch {
    there = new URL("/", location.origin);
  }
  there.hash ||= location.hash; // no server sees what stands behind the #, and so none can put it into "next"
  location.replace(there.origin === location.origin ? there.href : "/");
}

function countDown(seconds) {
  clearInterval(counting);
  const until = Date.now() + seconds * 1000;
  const show = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left <= 0) {
      clearInterval(counting);
      say("Now you can try again.", false);
    }
    return left;
  };
  // Said once, and not with each second: a screen reader would say nothing else.
  say(`Too many failed logins from your address. Try again in ${show()} seconds.`);
  counting = setInterval(show, 1000);
}

async function logIn() {
  if (button.getAttribute("aria-disabled") === "true") return;
  const token = field.value.trim();
  if (token === "") {
    say("Paste the token first.");
    field.focus();
    return;
  }
  clearInterval(counting);
  button.setAttribute("aria-disabled", "true");
  say("", false);
  try {
    const answer = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
    if (answer.ok) {
      goOn();
      return;
    }
    if (answer.status === 429) countDown(Number(answer.headers.get("Retry-After")) || 10);
    else if (answer.status === 401) say("That is not the token of this server.");
    else say(`The server refused: ${(await answer.json().catch(() => ({}))).detail || answer.status}`);
    field.select();
    field.focus();
  } catch {
    say("The server does not answer. Is it running, and are you connected to it?");
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  logIn();
});

if (asked.has("code")) {
  say("That link has been used already, or is older than ten minutes. Ask for a new one, or paste the token.", false);
  history.replaceState(null, "", "/login");
}

// A browser does not show its cookie when a link on another site has led here, and so may be logged in already.
const answer = await fetch("/", { headers: { Accept: "text/html" }, redirect: "manual" }).catch(() => null);
if (answer?.ok) goOn();
else field.focus();
