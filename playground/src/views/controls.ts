/** The form and the notices of the page: reads what the reader chose, and shows what is going on. */
import type { Policy, WeightDtype } from "early-exits";
import { type DecodingOptions, type DeviceWish, type Mode, modes, type WriteOptions } from "../engine/index.js";
import { byId, element } from "./dom.js";

/** The form's settings, with the policy in use. */
export function writeOptions(policy: Policy | undefined): WriteOptions {
  return {
    ...decodingOptions(policy),
    prompt: byId("prompt", HTMLTextAreaElement).value,
    maxNewTokens: numberIn("tokens"),
  };
}

/** The settings that texts and answers share. */
export function decodingOptions(policy: Policy | undefined): DecodingOptions {
  return { policy, temperature: numberIn("temperature"), seed: numberIn("seed") };
}

function numberIn(id: string): number {
  return byId(id, HTMLInputElement).valueAsNumber;
}

export function chosenMode(): Mode {
  const value = document.querySelector<HTMLInputElement>("input[name=mode]:checked")?.value;
  return modes.find((mode) => mode === value) ?? "plain";
}

/** Offers the modes that a model can write in, and chooses exits if it has them. */
export function offerModes(canExit: boolean): void {
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=mode]")) {
    input.disabled = input.value !== "plain" && !canExit;
    input.checked = input.value === (canExit ? "exits" : "plain");
  }
}

export function slowMotion(): boolean {
  return byId("slow", HTMLInputElement).checked;
}

export function chosenDevice(): DeviceWish {
  return JSON.parse(byId("device", HTMLSelectElement).value) as DeviceWish;
}

/** How the weights of the next model are stored. */
export function chosenDtype(): WeightDtype {
  return byId("dtype", HTMLSelectElement).value as WeightDtype;
}

interface DeviceChoice {
  readonly label: string;
  readonly wish: DeviceWish;
  readonly disabled?: boolean;
}

/** Lists the devices that this browser may run. What really runs, the device itself reports. */
export function offerDevices(): void {
  const choices: readonly DeviceChoice[] = [
    { label: "WebAssembly, 1 thread", wish: { name: "wasm", threads: 1 } },
    ...threadedChoices(),
    { label: "GPU, by WebGPU or WebGL2", wish: { name: "gpu", threads: 1 } },
    { label: "What the library chooses (auto)", wish: { name: "auto", threads: 1 } },
    { label: "Plain loops, the slow reference", wish: { name: "reference", threads: 1 } },
  ];
  const options = choices.map(({ label, wish, disabled }) =>
    element("option", { value: JSON.stringify(wish), disabled }, label),
  );
  byId("device").replaceChildren(...options);
}

/** Threads share memory, which browsers allow on cross-origin isolated pages only. */
function threadedChoices(): DeviceChoice[] {
  const threads = Math.min(4, navigator.hardwareConcurrency);
  if (threads < 2) return [];
  const hint = crossOriginIsolated ? "" : " (this page is not cross-origin isolated)";
  const label = `WebAssembly, ${threads} threads${hint}`;
  return [{ label, wish: { name: "wasm", threads }, disabled: !crossOriginIsolated }];
}

/** Shows the buttons that fit: while something runs, Stop instead of Write. Without a model neither works. */
export function showBusy(running: boolean, { loaded }: { readonly loaded: boolean }): void {
  byId("write", HTMLButtonElement).disabled = running || !loaded;
  byId("compare", HTMLButtonElement).disabled = running || !loaded;
  byId("write").hidden = running && loaded;
  byId("stop").hidden = !running || !loaded;
}

/** Puts a sentence into the status line. */
export function showStatus(text: string | null): void {
  byId("status").textContent = text;
}

export function showError(error: unknown): void {
  byId("alert").textContent = error instanceof Error ? error.message : String(error);
}

export function clearError(): void {
  byId("alert").textContent = "";
}
