// The phone beside the pairs: an app with a backend of examples/, from DeviceData to words on its screen.

const place = document.getElementById("app");

function h(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

async function ask(method, path, body) {
  const options = { method, headers: { "Content-Type": "application/json" } };
  if (body) options.body = JSON.stringify(body);
  const answer = await fetch(path, options);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

const about = await ask("GET", "/api/app");
const options = (each) => each.map(([value, text]) => h("option", { value }, text));
const person = h("input", { id: "app-person", maxlength: "50", value: "ann", autocomplete: "off", spellcheck: "false" });
const language = h("select", { id: "app-language" }, ...options(about.languages.map(({ tag, name }) => [tag, name])));
const verdict = h("select", { id: "app-verdict" }, ...options(about.verdicts.map(({ name, says }) => [name, says])));
const button = h("button", { type: "submit", id: "app-film" }, "Film");
const steps = h("ol", { id: "app-steps" });
const screen = h("p", { id: "app-screen", role: "status" });
const form = h("form", { id: "app-form" },
  h("div", { class: "fields" },
    h("label", {}, "Person ", person), h("label", {}, "Language ", language), h("label", {}, "Verdict ", verdict)),
  button);
language.value = "en";
place.append(
  h("summary", {}, "From an app, the whole way"),
  h("p", { class: "quiet" }, "Plays the liveness SDK and a phone against examples/backend: three attempts in a quarter of an hour."),
  form, steps, screen);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  screen.textContent = "";
  screen.removeAttribute("data-of");
  const who = { person: person.value.trim() || "ann", language: language.value };
  try {
    const filmed = await ask("POST", "/api/app", { ...who, verdict: verdict.value });
    steps.replaceChildren(...filmed.steps.map((each) => h("li", {}, each)));
    for (let tries = 0; filmed.id && tries < 30; tries++) {
      const said = await ask("GET", `/api/app/${filmed.id}?${new URLSearchParams(who)}`);
      screen.textContent = said.words ?? "waiting …";
      screen.lang = said.words ? language.value : "en";
      screen.dataset.of = said.status;
      if (said.words) break;
    }
  } catch (error) {
    screen.textContent = error.message;
  }
  button.disabled = false;
});
