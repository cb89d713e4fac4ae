/** The page's state, and its actions: open a model, write, inspect a token, compare ways of writing, chat. */
import type { Policy } from "early-exits";
import type { FileMap } from "early-exits/browser";
import {
  LibraryClient,
  LibraryError,
  type Mode,
  modes,
  type Opened,
  type TokenEvent,
  type WriteOptions,
  type Written,
} from "./engine/index.js";
import {
  answerSummary,
  byId,
  ChatView,
  chosenDevice,
  chosenDtype,
  chosenMode,
  clearError,
  decodingOptions,
  type DepthScale,
  modeNames,
  offerModes,
  percent,
  PointsView,
  showBusy,
  showChatBusy,
  showChatStatus,
  showDepths,
  showError,
  showInspector,
  showLedger,
  showLegend,
  showModel,
  showRounds,
  showStatus,
  showTimings,
  slowMotion,
  summaryOf,
  TextView,
  writeOptions,
} from "./views/index.js";

/** The URL of the embedded model's folder. */
export const EMBEDDED = new URL("./model/", document.baseURI).href;
/** Milliseconds per token in slow motion. */
const PAUSE = 40;
const ROUNDS = 7;
/** A comparison that takes less than this starts without being asked for. */
const UNASKED_SECONDS = 4;

/** A text on the page, complete once it has `written`. */
interface Text {
  readonly mode: Mode;
  readonly scale: DepthScale;
  readonly tokens: TokenEvent[];
  written?: Written;
}

export class App {
  readonly #client = new LibraryClient();
  readonly #textView = new TextView(byId("text"), (index) => this.#inspect(index));
  readonly #chatView = new ChatView();
  readonly #pointsView = new PointsView(() => void this.write());
  #opened: Opened | undefined;
  #source: string | FileMap = EMBEDDED;
  #text: Text | undefined;
  #running: AbortController | undefined;
  #answering = false;
  /** The settings of the last comparison, as JSON. */
  #compared = "";

  /** Opens a model; one that cannot chat writes at once. The previous model stays if the new one cannot be opened. */
  async open(source: string | FileMap): Promise<void> {
    if (!(await this.#open(source))) return;
    if (this.#opened?.canChat !== true) await this.write();
    else showStatus("The model is loaded. Write a message under Chat, or let it continue the prompt.");
  }

  /** Opens the same model again, on the device that is now chosen. */
  reopen(): Promise<void> {
    return this.open(this.#source);
  }

  async write(): Promise<void> {
    if (this.#opened === undefined) return;
    const controller = this.#start();
    const mode = chosenMode();
    const options = this.#settings();
    const scale = this.#scaleOf(mode);
    const text: Text = { mode, scale, tokens: [] };
    this.#text = text;
    this.#textView.begin(options.prompt, scale);
    byId("timeline").hidden = true;
    showStatus(`Writing, ${modeNames[mode]} …`);
    this.#busy(true);
    try {
      const written = await this.#client.request(
        { type: "write", mode, pause: slowMotion() ? PAUSE : 0, ...options },
        { signal: controller.signal, onToken: (token) => this.#add(text, token) },
      );
      if (this.#text !== text) return;
      text.written = written;
      clearError();
      this.#finish(text, written);
      await this.#compareUnasked(written, controller.signal);
    } catch (error) {
      if (!isCancelled(error)) showError(error);
      else if (this.#text === text) showStatus("Stopped.");
    } finally {
      if (this.#running === controller) this.#busy(false);
    }
  }

  stop(): void {
    this.#running?.abort();
  }

  /** Sends the message in the form, and shows the answer. While one is written, the message stays in the form. */
  async chat(): Promise<void> {
    if (this.#opened === undefined || this.#answering) return;
    const message = this.#chatView.takeMessage();
    if (message === undefined) return;
    this.#answering = true;
    const controller = this.#start();
    const mode = chosenMode();
    this.#chatView.begin(message, this.#scaleOf(mode));
    showChatStatus("Answering …");
    this.#busy(true, { chat: true });
    try {
      const answer = await this.#client.request(
        { type: "chat", mode, message, ...decodingOptions(this.#policy) },
        { signal: controller.signal, onToken: (token) => this.#chatView.add(token) },
      );
      clearError();
      this.#chatView.end();
      showChatStatus(answerSummary(answer, mode !== "plain"));
    } catch (error) {
      this.#failChat(error, message);
    } finally {
      this.#answering = false;
      if (this.#running === controller) this.#busy(false);
    }
  }

  /** Forgets the conversation. */
  async clearChat(): Promise<void> {
    await this.#client.request({ type: "clearChat" }).then(() => this.#chatView.clear(), showError);
  }

  /** Measures every way of writing on the current settings. */
  async compare(): Promise<void> {
    const controller = (this.#running = new AbortController());
    const before = byId("status").textContent;
    this.#busy(true);
    showStatus("Measuring …");
    await this.#compare(controller.signal).catch(showError);
    showStatus(before);
    this.#busy(false);
  }

  /** Draws the charts anew, for a new width. */
  redraw(): void {
    this.#pointsView.draw();
    if (this.#text?.written !== undefined) showDepths(this.#text.written.depthCounts, this.#text.scale);
  }

  async #open(source: string | FileMap): Promise<boolean> {
    this.#running?.abort();
    showStatus("Loading the model …");
    this.#busy(true);
    try {
      this.#opened = await this.#client.request(
        { type: "open", wish: chosenDevice(), source, dtype: chosenDtype() },
        { onLoaded: ({ done, total }) => showStatus(`Loading the model, ${percent(done / total, 0)} …`) },
      );
      this.#source = source;
      clearError();
      this.#describe(this.#opened);
      return true;
    } catch (error) {
      showError(error);
      showStatus(this.#opened === undefined ? "No model is loaded." : "The previous model is still loaded.");
      return false;
    } finally {
      this.#busy(false);
    }
  }

  #describe(opened: Opened): void {
    const { numLayers, depths, points, policy } = opened;
    const canExit = points !== undefined || policy !== undefined;
    showModel(opened, { embedded: this.#source === EMBEDDED });
    this.#pointsView.show(points);
    offerModes(canExit);
    this.#text = undefined;
    this.#textView.clear();
    this.#chatView.offer(opened.canChat);
    showLegend({ numLayers, depths: canExit ? depths : [] });
  }

  #add(text: Text, token: TokenEvent): void {
    if (this.#text !== text) return;
    text.tokens.push(token);
    this.#textView.add(token);
  }

  #finish({ mode, scale, tokens }: Text, written: Written): void {
    this.#textView.end(written.predictions);
    showStatus(summaryOf(written, scale));
    showDepths(written.depthCounts, scale);
    showLedger(byId("ledger"), written);
    byId("timeline").hidden = mode !== "lossless";
    if (mode === "lossless") showRounds(byId("rounds"), written.rounds, tokens);
  }

  #inspect(index: number): void {
    const text = this.#text;
    const token = text?.tokens[index];
    if (text === undefined || token === undefined) return;
    showInspector(byId("inspector"), {
      token,
      prediction: text.written?.predictions[index],
      scale: { numLayers: text.scale.numLayers, depths: this.#opened?.depths ?? [] },
      score: text.written?.score,
      mode: text.mode,
    });
  }

  /** Compares if that takes only a moment, and not twice for the same settings. */
  async #compareUnasked({ newTokens }: Written, signal: AbortSignal): Promise<void> {
    const settings = this.#settings();
    if (JSON.stringify(settings) === this.#compared) return;
    const started = performance.now();
    await this.#client.request({ type: "compare", modes: ["plain"], rounds: 1, ...settings }, { signal });
    const secondsPerRun = (performance.now() - started) / 1000 / 2; // one run to warm up, one that counts
    const runs = this.#comparedModes().length * (ROUNDS + 1);
    if (newTokens > 1 && secondsPerRun * runs < UNASKED_SECONDS) await this.#compare(signal);
  }

  async #compare(signal: AbortSignal): Promise<void> {
    const settings = this.#settings();
    const timings = await this.#client.request(
      { type: "compare", modes: this.#comparedModes(), rounds: ROUNDS, ...settings },
      { signal },
    );
    this.#compared = JSON.stringify(settings);
    showTimings(byId("timings"), timings, ROUNDS);
  }

  #comparedModes(): readonly Mode[] {
    return this.#policy === undefined ? ["plain"] : modes;
  }

  /** A message that was not answered returns to the form; an answer that was stopped stays as it is. */
  #failChat(error: unknown, message: string): void {
    if (isCancelled(error)) {
      this.#chatView.end();
      showChatStatus("Stopped.");
    } else {
      this.#chatView.takeBack(message);
      showChatStatus("");
      showError(error);
    }
  }

  /** The depths at which a mode lets tokens leave. */
  #scaleOf(mode: Mode): DepthScale {
    const { numLayers = 1, depths = [] } = this.#opened ?? {};
    return { numLayers, depths: mode === "plain" ? [] : depths };
  }

  #settings(): WriteOptions {
    return writeOptions(this.#policy);
  }

  /** The policy of the chosen operating point, or the one in the model's folder. */
  get #policy(): Policy | undefined {
    return this.#pointsView.current?.policy ?? this.#opened?.policy;
  }

  /** Cancels what runs; what starts now can be cancelled by the controller. */
  #start(): AbortController {
    this.#running?.abort();
    this.#running = new AbortController();
    return this.#running;
  }

  #busy(running: boolean, { chat = false } = {}): void {
    showBusy(running && !chat, { loaded: this.#opened !== undefined });
    showChatBusy(running && chat);
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof LibraryError && error.failure.code === "cancelled";
}
