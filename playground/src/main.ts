/** The page's events, and its start: opens the embedded model and writes at once. */
import { droppedFiles } from "early-exits/browser";
import { App, EMBEDDED } from "./app.js";
import { byId, offerDevices, showError } from "./views/index.js";

const app = new App();

// Writing
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void app.write();
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  void app.write();
});
for (const input of document.querySelectorAll("input[name=mode]")) {
  input.addEventListener("change", () => void app.write());
}
byId("stop").addEventListener("click", () => app.stop());
byId("compare").addEventListener("click", () => void app.compare());

// Chat
byId("chat-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void app.chat();
});
byId("chat-message").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void app.chat();
});
byId("chat-stop").addEventListener("click", () => app.stop());
byId("chat-clear").addEventListener("click", () => void app.clearChat());

// Device and model
for (const id of ["device", "dtype"]) byId(id).addEventListener("change", () => void app.reopen());
byId("embedded").addEventListener("click", () => void app.open(EMBEDDED));
for (const id of ["folder", "files"]) {
  byId(id).addEventListener("change", () => {
    const files = Array.from(byId(id, HTMLInputElement).files ?? []);
    if (files.length > 0) void app.open(new Map(files.map((file) => [file.webkitRelativePath || file.name, file])));
  });
}
byId("address-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void app.open(byId("address", HTMLInputElement).value.trim());
});
for (const type of ["dragenter", "dragover"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
}
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (relatedTarget === null) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer !== null) void droppedFiles(event.dataTransfer).then((files) => app.open(files), showError);
});

// The look
if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("slow", HTMLInputElement).checked = false;
new ResizeObserver(() => app.redraw()).observe(byId("depths"));

offerDevices();
void app.open(EMBEDDED);
