/** The page: opens the embedded model, writes at once, and keeps controls, text, charts and tables in step. */
import type { Policy } from "early-exits";
import { droppedFiles, type FileMap } from "early-exits/browser";
import { depthChart } from "./views/charts.js";
import { LibraryClient, LibraryError } from "./engine/client.js";
import { modeNames, showLedger, showTimings } from "./views/cost-view.js";
import { depthColor, depthName, type DepthScale } from "./views/depth-scale.js";
import { byId, element } from "./views/dom.js";
import { count, percent } from "./views/format.js";
import { showInspector } from "./views/inspector-view.js";
import { PointsView } from "./views/points-view.js";
import {
  type DeviceWish,
  type Mode,
  modes,
  type Opened,
  type TokenEvent,
  type WriteOptions,
  type Written,
} from "./engine/protocol.js";
import { showRounds } from "./views/rounds-view.js";
import { TextView } from "./views/text-view.js";

const EMBEDDED = new URL("./model/", document.baseURI).href;
/** Milliseconds a token in slow motion. */
const PAUSE = 40;
const ROUNDS = 7;
/** A comparison that takes no longer is made without being asked for. */
const UNASKED_SECONDS = 4;

interface Text {
  readonly mode: Mode;
  readonly scale: DepthScale;
  readonly tokens: TokenEvent[];
  written?: Written;
}

const client = new LibraryClient();
let opened: Opened | undefined;
let source: string | FileMap = EMBEDDED;
let text: Text | undefined;
let running: AbortController | undefined;

const textView = new TextView(byId("text"), inspect);
const pointsView = new PointsView(() => void write());

// Opening
// ---------------------------------------------------------------------------------------------------------------------------

async function open(wanted: string | FileMap): Promise<void> {
  running?.abort();
  say("Loading the model …");
  busy(true);
  try {
    opened = await client.request({ type: "open", wish: wish(), source: wanted });
    source = wanted;
    clearAlert();
    describe(opened);
  } catch (error) {
    report(error);
    say(opened === undefined ? "No model is loaded." : "The model before is still loaded.");
  } finally {
    busy(false);
  }
}

function describe({
  device,
  modelType,
  numLayers,
  hiddenSize,
  vocabSize,
  parameters,
  context,
  depths,
  points,
  policy,
}: Opened): void {
  byId("model").textContent =
    `${source === EMBEDDED ? "The embedded model" : "Your model"}: ${modelType}, ${count(parameters)} ` +
    `parameters, ${numLayers} blocks of ${hiddenSize}, vocabulary ${vocabSize}, context ${context}. ` +
    (depths.length === 0
      ? "No exit heads: it can only write plainly."
      : `Exit heads after blocks ${depths.join(", ")}.`);
  byId("device-runs").textContent = device;
  byId("embedded").hidden = source === EMBEDDED;
  pointsView.show(points);
  const canExit = points !== undefined || policy !== undefined;
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=mode]")) {
    input.disabled = input.value !== "plain" && !canExit;
    input.checked = input.value === (canExit ? "exits" : "plain");
  }
  legend({ numLayers, depths: canExit ? depths : [] });
}

function legend(scale: DepthScale): void {
  byId("legend").replaceChildren(
    ...[...scale.depths, scale.numLayers].map((depth) => {
      const swatch = element("span", { class: "swatch" });
      if (depth < scale.numLayers) swatch.style.background = depthColor(scale, depth);
      return element("span", {}, swatch, ` ${depthName(scale, depth)}`);
    }),
  );
}

// Writing
// ---------------------------------------------------------------------------------------------------------------------------

async function write(): Promise<void> {
  if (opened === undefined) return;
  running?.abort();
  const controller = (running = new AbortController());
  const mode = chosenMode();
  const options = settings();
  const scale = { numLayers: opened.numLayers, depths: mode === "plain" ? [] : opened.depths };
  const current: Text = { mode, scale, tokens: [] };
  text = current;
  textView.begin(options.prompt, scale);
  byId("timeline").hidden = true;
  say(`Writing, ${modeNames[mode]} …`);
  busy(true);
  try {
    const written = await client.request(
      { type: "write", mode, pause: byId("slow", HTMLInputElement).checked ? PAUSE : 0, ...options },
      {
        signal: controller.signal,
        onToken(token) {
          if (text !== current) return;
          current.tokens.push(token);
          textView.add(token);
        },
      },
    );
    if (text !== current) return;
    current.written = written;
    clearAlert();
    finish(current, written);
    await compareUnasked(written, controller.signal);
  } catch (error) {
    if (error instanceof LibraryError && error.failure.code === "cancelled") {
      if (text === current) say("Stopped.");
    } else report(error);
  } finally {
    if (running === controller) busy(false);
  }
}

function finish({ mode, scale, tokens }: Text, written: Written): void {
  const same = written.sayings.filter(({ agrees }) => agrees).length;
  textView.end(written.sayings);
  say(
    `${written.newTokens} tokens, mean depth ${written.meanDepth.toFixed(2)} of ${scale.numLayers} ` +
      `blocks${written.sayings.length > 0 ? `; ${percent(same / written.sayings.length)} are the full model's first choice` : ""}.`,
  );
  byId("depths").replaceChildren(depthChart(written.depthCounts, scale, byId("depths").clientWidth));
  byId("depths-caption").textContent =
    `${written.depthCounts.flatMap((number, depth) => (number > 0 ? [`${number} after ${depthName(scale, depth)}`] : [])).join(", ")}.`;
  showLedger(byId("ledger"), written);
  byId("timeline").hidden = mode !== "lossless";
  if (mode === "lossless") showRounds(byId("rounds"), written.rounds, tokens);
}

function inspect(index: number): void {
  const token = text?.tokens[index];
  if (text === undefined || token === undefined) return;
  showInspector(byId("inspector"), {
    token,
    saying: text.written?.sayings[index],
    scale: { numLayers: text.scale.numLayers, depths: opened?.depths ?? [] },
    score: text.written?.score,
    mode: text.mode,
  });
}

// Comparing
// -------------------------------------------------------------------------------------------------------------------------

let compared = "";

/** Measures where that takes a moment only, and not again for the same settings. */
async function compareUnasked({ newTokens }: Written, signal: AbortSignal): Promise<void> {
  const key = JSON.stringify(settings());
  if (key === compared) return;
  const started = performance.now();
  await client.request({ type: "compare", modes: ["plain"], rounds: 1, ...settings() }, { signal });
  const seconds = (performance.now() - started) / 1000;
  if (newTokens > 1 && (seconds / 2) * comparedModes().length * (ROUNDS + 1) < UNASKED_SECONDS) await compare(signal);
}

async function compare(signal: AbortSignal): Promise<void> {
  const options = settings();
  const timings = await client.request(
    { type: "compare", modes: comparedModes(), rounds: ROUNDS, ...options },
    { signal },
  );
  compared = JSON.stringify(options);
  showTimings(byId("timings"), timings, ROUNDS);
}

function comparedModes(): Mode[] {
  return settings().policy === undefined ? ["plain"] : [...modes];
}

// Controls
// --------------------------------------------------------------------------------------------------------------------------

function settings(): WriteOptions {
  const number = (id: string): number => byId(id, HTMLInputElement).valueAsNumber;
  return {
    prompt: byId("prompt", HTMLTextAreaElement).value,
    policy: policyInUse(),
    maxNewTokens: number("tokens"),
    temperature: number("temperature"),
    seed: number("seed"),
  };
}

function policyInUse(): Policy | undefined {
  return pointsView.current?.policy ?? opened?.policy;
}

function chosenMode(): Mode {
  const value = document.querySelector<HTMLInputElement>("input[name=mode]:checked")?.value;
  return modes.find((mode) => mode === value) ?? "plain";
}

function wish(): DeviceWish {
  return JSON.parse(byId("device", HTMLSelectElement).value) as DeviceWish;
}

/** What this browser can run; what does run is what the device itself says. */
function fillDevices(): void {
  const threads = Math.min(4, navigator.hardwareConcurrency);
  const choices: readonly (readonly [string, DeviceWish, boolean])[] = [
    ["WebAssembly, 1 thread", { name: "wasm", threads: 1 }, true],
    ...(threads > 1
      ? [
          [
            `WebAssembly, ${threads} threads${crossOriginIsolated ? "" : " (this page is not cross-origin isolated)"}`,
            { name: "wasm", threads },
            crossOriginIsolated,
          ] as const,
        ]
      : []),
    ["GPU, by WebGPU or WebGL2", { name: "gpu", threads: 1 }, true],
    ["What the library chooses (auto)", { name: "auto", threads: 1 }, true],
    ["Plain loops, the slow reference", { name: "reference", threads: 1 }, true],
  ];
  byId("device").replaceChildren(
    ...choices.map(([label, value, possible]) =>
      element("option", { value: JSON.stringify(value), disabled: !possible }, label),
    ),
  );
}

function busy(on: boolean): void {
  byId("write", HTMLButtonElement).disabled = on || opened === undefined;
  byId("compare", HTMLButtonElement).disabled = on || opened === undefined;
  byId("write").hidden = on && opened !== undefined;
  byId("stop").hidden = !on || opened === undefined;
}

function say(words: string): void {
  byId("status").textContent = words;
}

function report(error: unknown): void {
  byId("alert").textContent = error instanceof Error ? error.message : String(error);
}

function clearAlert(): void {
  byId("alert").textContent = "";
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void write();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  void write();
});
for (const input of document.querySelectorAll("input[name=mode]")) input.addEventListener("change", () => void write());
byId("compare").addEventListener("click", () => {
  const controller = (running = new AbortController());
  const before = byId("status").textContent;
  busy(true);
  say("Measuring …");
  void compare(controller.signal)
    .catch(report)
    .finally(() => {
      say(before);
      busy(false);
    });
});

const openAndWrite = async (wanted: string | FileMap): Promise<void> => {
  await open(wanted);
  if (source === wanted) await write();
};
byId("device").addEventListener("change", () => void openAndWrite(source));
byId("embedded").addEventListener("click", () => void openAndWrite(EMBEDDED));
byId("folder").addEventListener("change", () => {
  const files = Array.from(byId("folder", HTMLInputElement).files ?? []);
  void openAndWrite(new Map(files.map((file) => [file.webkitRelativePath || file.name, file])));
});
for (const type of ["dragenter", "dragover"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
}
document.addEventListener(
  "dragleave",
  ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("dragging"),
);
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer !== null) void droppedFiles(event.dataTransfer).then(openAndWrite, report);
});
if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("slow", HTMLInputElement).checked = false;

new ResizeObserver(() => {
  pointsView.draw();
  if (text?.written !== undefined) {
    byId("depths").replaceChildren(depthChart(text.written.depthCounts, text.scale, byId("depths").clientWidth));
  }
}).observe(byId("depths"));

fillDevices();
void openAndWrite(EMBEDDED);
