/** The page's events, and its start: opens the embedded model and writes at once. */
import { droppedFiles } from "early-exits/browser";
import { App } from "./app.js";
import { storeForOffline } from "./offline.js";
import { EMBEDDED } from "./session.js";
import { settingsIn } from "./settings.js";
import { byId, offerDevices, showError, showSource, showStatus } from "./views/index.js";

const app = new App();
const click = (id: string, action: () => unknown): void => {
  byId(id).addEventListener("click", () => void action());
};
const submit = (id: string, action: () => Promise<void>): void => {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    void action();
  });
};

// Writing
submit("form", () => app.write());
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  void app.write();
});
for (const input of document.querySelectorAll("input[name=mode]")) {
  input.addEventListener("change", () => void app.write());
}
click("stop", () => app.stop());
click("compare", () => app.comparison.measure());
click("copy-text", () => app.copyText());
click("copy-link", () => app.copyLink());
click("certificate-open", () => app.showCertificate());
click("certificate-check", () => app.checkCertificate());

// Race
click("race-start", () => app.racing.race());
click("race-stop", () => app.stop());

// Chat
submit("chat-form", () => app.chatting.send());
byId("chat-message").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void app.chatting.send();
});
click("chat-stop", () => app.stop());
click("chat-clear", () => app.chatting.clear());

// Device and model
for (const id of ["device", "dtype"]) byId(id).addEventListener("change", () => void app.reopen());
for (const source of ["embedded", "files", "address"] as const) {
  document.querySelector(`input[name=source][value=${source}]`)!.addEventListener("change", () => {
    showSource(source);
    if (source === "embedded") void app.openEmbedded();
  });
}
for (const id of ["folder", "files"]) {
  byId(id).addEventListener("change", () => {
    const files = Array.from(byId(id, HTMLInputElement).files ?? []);
    if (files.length > 0) void app.open(new Map(files.map((file) => [file.webkitRelativePath || file.name, file])));
  });
}
submit("address-form", () => app.open(addressOf(byId("address", HTMLInputElement).value.trim())));
/** Text that is dragged is none of the page's business. */
const bringsFiles = ({ dataTransfer }: DragEvent): boolean => dataTransfer!.types.includes("Files");
for (const type of ["dragenter", "dragover"] as const) {
  document.addEventListener(type, (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
}
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (relatedTarget === null) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  document.body.classList.remove("dragging");
  void droppedFiles(event.dataTransfer!).then((files) => app.open(files), showError);
});

// The look
if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("slow", HTMLInputElement).checked = false;
new ResizeObserver(() => app.redraw()).observe(byId("curve"));

// The start
offerDevices();
const { model, ...settings } = settingsIn(location.hash);
void app.open(EMBEDDED, settings).then(() => {
  if (model !== undefined) suggest(model);
  return storeForOffline();
});
addEventListener("hashchange", () => {
  const { model: named, ...changed } = settingsIn(location.hash);
  if (named !== undefined) suggest(named);
  if (Object.keys(changed).length === 0) return; // a link to a part of the page
  history.replaceState(null, "", location.pathname + location.search); // so that the same link can be followed again
  void app.apply(changed);
});

/** A link may name a model; only the reader may have it fetched. */
function suggest(model: string): void {
  showSource("address");
  byId("address", HTMLInputElement).value = model;
  showStatus(`The link is for the model ${model}. To fetch it, press Open under “Model and device”.`);
}

/** An address as it is; a name such as org/name is one of the Hub. */
function addressOf(text: string): string {
  return /^[\w.-]+\/[\w.-]+([/@][\w./@-]*)?$/.test(text) ? `hub:${text}` : text;
}
