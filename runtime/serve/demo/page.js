// The page: takes an image, hands it to the server as it is, and shows what comes back.

import {element, output, panel, picture} from "./draw.js";

const at = (id) => document.getElementById(id);
let models = {};
let asked = 0;
let last = null; // what was looked at last: a file, or the number of an example

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

async function answer(response) {
  const told = await response.json().catch(() => ({error: `the server answers ${response.status}`}));
  if (!response.ok) throw new Error(told.error);
  return told;
}

function words(more) {
  return new URLSearchParams({model: at("model").value, ...more});
}

async function look(what) {
  if (!at("model").value) return;
  last = what;
  const turn = ++asked;
  say("looking …");
  const example = typeof what === "number";
  const query = words(example ? {example: what} : {mean: at("mean").value, std: at("std").value});
  try {
    const told = await answer(await fetch(`/look?${query}`, {method: "POST", body: example ? "" : what}));
    if (turn === asked) show(told);
  } catch (error) {
    if (turn === asked) clear(error.message);
  }
}

function clear(text) {
  at("outputs").replaceChildren();
  at("attention").replaceChildren();
  say(text, true);
}

function show(told) {
  const seen = element("figure", [
    element("div", picture(told.image), {className: "stack"}),
    element("figcaption", [element("b", "image"), `as the model sees it, ${told.image.width} × ${told.image.height}`]),
  ]);
  at("outputs").replaceChildren(...told.outputs.map((found) => output(found, told.image)));
  at("attention").replaceChildren(
    element("h2", told.attention.length ? "attention" : "image"),
    element("div", [seen, ...told.attention.map(panel)], {className: "panels"}),
  );
  say(`${told.model} version ${told.version} answered in ${told.milliseconds} ms`);
}

async function examples(model) {
  const made = Array.from({length: model.examples}, (_, index) => {
    const button = element("button", [], {type: "button", title: `sample ${index + 1} of the bundle`});
    button.setAttribute("aria-label", button.title);
    button.addEventListener("click", () => look(index));
    return button;
  });
  at("examples").replaceChildren(...made);
  await Promise.all(made.map(async (button, index) => {
    const told = await answer(await fetch(`/example?${words({index})}`));
    button.append(picture(told.image));
  }));
}

function chosen() {
  const model = models[at("model").value];
  asked++;
  last = null;
  at("outputs").replaceChildren();
  at("attention").replaceChildren();
  say("");
  at("mean").value = model.mean.join(",");
  at("std").value = model.std.join(",");
  at("known").textContent = model.known ? "" : "The bundle does not say how its images were scaled: give what the model was trained with.";
  const colours = model.channels === 3 ? "in colour" : "in grey";
  at("takes").textContent = `An image is resized to ${model.width} × ${model.height}, ${colours}, whatever its proportions.`;
  examples(model).catch((error) => clear(error.message));
}

function given(files) {
  const file = [...files].find(({type}) => type.startsWith("image/")) ?? files[0];
  if (file) look(file);
}

async function begin() {
  const told = await answer(await fetch("/models"));
  models = Object.fromEntries(told.models.map((model) => [model.name, model]));
  at("model").replaceChildren(...told.models.map(({name}) => element("option", name, {value: name})));
  at("left").textContent = told.left.map(({name, reason}) => `${name} is served and not shown: ${reason}.`).join(" ");
  if (told.models.length) chosen();
  else say("no model here takes an image", true);
}

at("model").addEventListener("change", chosen);
at("file").addEventListener("change", () => {
  given(at("file").files);
  at("file").value = "";
});
for (const id of ["mean", "std"]) {
  at(id).addEventListener("change", () => {
    if (last !== null && typeof last !== "number") look(last);
  });
}
at("drop").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    at("file").click();
  }
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault(); // else the browser would open the file itself
    at("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") given(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => given(event.clipboardData.files));

begin().catch((error) => say(error.message, true));
