/** The form and the notices of the page: reads what the reader chose, and shows what is going on. */
import type { Policy, WeightDtype } from "early-exits";
import { type DecodingOptions, type DeviceWish, type Mode, modes, type WriteOptions } from "../engine/index.js";
import { byId, element } from "./dom.js";

/** The form's settings, with the policy in use and the top-p that its certificate is for. */
export function writeOptions(policy: Policy | undefined, topP = 1): WriteOptions {
  return {
    ...decodingOptions(policy, topP),
    prompt: byId("prompt", HTMLTextAreaElement).value,
    maxNewTokens: numberIn("tokens"),
  };
}

/** The settings that texts and answers share. */
export function decodingOptions(policy: Policy | undefined, topP: number): DecodingOptions {
  return { policy, temperature: numberIn("temperature"), topP, seed: numberIn("seed") };
}

/** State of the form, for a link. */
export interface FormSettings {
  readonly prompt: string;
  readonly mode: Mode;
  readonly tokens: number;
  readonly temperature: number;
  readonly seed: number;
}

export function formSettings(): FormSettings {
  const { prompt, maxNewTokens: tokens, temperature, seed } = writeOptions(undefined);
  return { prompt, mode: chosenMode(), tokens, temperature, seed };
}

/** Puts settings into the form. A mode that the model cannot write in is left out. */
export function fillForm({ prompt, mode, ...numbers }: Partial<FormSettings>): void {
  if (prompt !== undefined) byId("prompt", HTMLTextAreaElement).value = prompt;
  const { tokens, temperature, seed } = numbers;
  for (const [id, value] of Object.entries({ tokens, temperature, seed })) {
    if (value !== undefined) byId(id, HTMLInputElement).value = String(value);
  }
  const input = document.querySelector<HTMLInputElement>(`input[name=mode][value=${mode ?? "none"}]:enabled`);
  if (input !== null) input.checked = true;
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

/** Storage of the next model's weights; undefined for what suits it. */
export function chosenDtype(): WeightDtype | undefined {
  const { value } = byId("dtype", HTMLSelectElement);
  return value === "" ? undefined : (value as WeightDtype);
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
    { label: "What the library chooses (auto)", wish: { name: "auto" } },
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

/** Work that keeps the page busy. */
export type Activity = "open" | "write" | "measure" | "race" | "chat";

/** Shows the buttons that fit: what runs can be stopped. Without a model nothing can be started. */
export function showActivity(activity: Activity | undefined, { loaded }: { readonly loaded: boolean }): void {
  const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
  const writing = activity === "open" || activity === "write" || activity === "measure";
  button("write").disabled = writing || !loaded;
  button("write").hidden = writing && loaded;
  button("stop").hidden = !writing || !loaded;
  button("compare").disabled = writing || activity === "race" || !loaded;
  button("race-start").disabled = activity !== undefined || !loaded;
  button("race-start").hidden = activity === "race";
  button("race-stop").hidden = activity !== "race";
  button("chat-send").hidden = activity === "chat";
  button("chat-stop").hidden = activity !== "chat";
  button("chat-clear").disabled = activity === "chat";
}

/** Says in the footer what the browser has stored. */
export function showOffline(text: string): void {
  byId("offline").textContent = text;
}

/** Puts a sentence into the status line. */
export function showStatus(text: string | null): void {
  byId("status").textContent = text;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function showError(error: unknown): void {
  byId("alert").textContent = messageOf(error);
}

export function clearError(): void {
  byId("alert").textContent = "";
}
