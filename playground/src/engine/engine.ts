/** The worker's use of the library: opens a model, writes with it, compares modes of writing, and answers in a chat. */
import {
  type Device,
  type ExitHeads,
  generate,
  type GenerateOptions,
  type GenerateSummary,
  type Model,
} from "early-exits";
import { verifyCertificate } from "early-exits/calibrate";
import {
  countParameters,
  keyValueLayers,
  type LoadModelOptions,
  type LoadProgress,
  type StoredAs,
  storageOf,
} from "early-exits/model";
import { ChatSession, type DecodeObserver, PolicyError } from "early-exits/exits";
import { createDevice, readHeads, readJson, readModel, readPolicy } from "early-exits/browser";
import { type Inspected, lensOf, predictionsOf } from "./inspect.js";
import type { OperatingPoints } from "./operating-points.js";
import { race } from "./race.js";
import { shippedExits } from "./shipped-exits.js";
import type {
  Answer,
  ChatRequest,
  CompareRequest,
  DecodingOptions,
  LaneResult,
  LensRow,
  Mode,
  Opened,
  OpenRequest,
  RaceRequest,
  RoundSummary,
  ShortRequest,
  Timing,
  TokenEvent,
  Verified,
  VerifyRequest,
  WriteOptions,
  WriteRequest,
  Written,
} from "./protocol.js";

interface Session {
  readonly device: Device;
  readonly model: Model;
  readonly heads: ExitHeads | undefined;
  readonly chat: ChatSession;
}

export interface Listener<Event = never> {
  readonly signal: AbortSignal;
  readonly onEvent: (event: Event) => void;
}

export class Engine {
  #session: Session | undefined;
  #written: Inspected | undefined;

  /** Loads model, heads and policies. If this fails, the previous model stays open. */
  async open(
    { wish, source, dtype, exits }: OpenRequest,
    { signal, onEvent }: Listener<LoadProgress>,
  ): Promise<Opened> {
    const { name, ...threads } = wish;
    const device = await createDevice(name, threads);
    try {
      const read = (storage: Partial<Pick<LoadModelOptions, "dtype" | "kvCache">>): Promise<Model> =>
        readModel(source, { device, onProgress: onEvent, ...storage });
      let model = await read(dtype === undefined ? {} : { dtype });
      let found = await exitsOf(source, exits, model);
      const { certifiedAs } = found;
      if (dtype === undefined && certifiedAs !== undefined && certifiedAs !== model.storedAs) {
        found.heads?.dispose();
        model.dispose();
        model = await read(storageOf(certifiedAs));
        found = await exitsOf(source, exits, model);
      }
      const { heads, policy, points, pointsFrom, isShipped } = found;
      signal.throwIfAborted();
      await this.#session?.device.dispose();
      this.#written = undefined;
      const chat = new ChatSession(heads ?? model, { chat: { date: new Date() } }); // templates may ask for the date
      this.#session = { device, model, heads, chat };
      const { modelType, numLayers, hiddenSize, vocabSize, maxPositionEmbeddings: context } = model.config;
      return {
        device: device.info.description,
        modelType,
        numLayers,
        hiddenSize,
        vocabSize,
        context,
        keyValueLayers: keyValueLayers(model.config),
        storedAs: model.storedAs,
        parameters: countParameters(model.weights),
        depths: heads?.depths ?? [],
        points,
        pointsFrom,
        shipped: isShipped,
        policy,
        canChat: model.hasTokenizer && model.tokenizer.chatTemplate !== undefined,
      };
    } catch (error) {
      await device.dispose();
      throw error;
    }
  }

  /** Writes, and then computes the predictions of every head and of the full model at every token. */
  async write(request: WriteRequest, { signal, onEvent }: Listener<TokenEvent>): Promise<Written> {
    const { model, heads } = this.#opened();
    const { rounds, observer } = listenToRounds();
    const run = this.#generate(request.mode, request, { signal, observer });
    for await (const { text, depth, exit } of run) {
      onEvent({ text, depth, exit });
      await (request.pause > 0 ? new Promise((resume) => setTimeout(resume, request.pause)) : breathe());
    }
    const { summary } = run;
    const {
      newTokens,
      meanDepth,
      depthCounts,
      ledger: { decode, plain },
    } = summary;
    const prompt = model.tokenizer.encode(request.prompt);
    this.#written = { model, heads, prompt, ids: summary.ids };
    const predictions = heads === undefined ? [] : await predictionsOf(this.#written, request.policy);
    return {
      newTokens,
      meanDepth,
      depthCounts,
      decode,
      plain,
      predictions,
      rounds,
      score: request.policy?.score,
      fill: request.policy?.fill ?? "lazy",
    };
  }

  /** Computes the first guesses after every block at the tokens of the last text, block after block. */
  async lens(_: ShortRequest, { signal, onEvent }: Listener<LensRow>): Promise<null> {
    for await (const row of this.#written === undefined ? [] : lensOf(this.#written)) {
      onEvent(row);
      await breathe();
      signal.throwIfAborted();
    }
    return null;
  }

  /** Answers the next message. The conversation keeps its KV cache from turn to turn. */
  async chat(
    { message, mode, policy, temperature, topP, seed }: ChatRequest,
    { signal, onEvent }: Listener<TokenEvent>,
  ): Promise<Answer> {
    const { chat, heads } = this.#opened();
    const allowUncertified = mode !== "plain";
    const exits = { ...exitOptions(mode, policy, heads), ...(allowUncertified && { allowUncertified }) };
    const turn = chat.send(message, { signal, temperature, topP, seed, ...exits });
    for await (const { text, depth, exit } of turn) {
      onEvent({ text, depth, exit });
      await breathe();
    }
    const { newTokens, promptTokens, reusedTokens, meanDepth, tokensPerSecond } = turn.summary;
    return { newTokens, promptTokens, reusedTokens, meanDepth, tokensPerSecond };
  }

  /** Forgets the conversation. */
  clearChat(): null {
    this.#opened().chat.clear();
    return null;
  }

  /** Tokens per second of several modes, in turn, without pauses, in every round; after one round of warm-up. */
  async compare(request: CompareRequest, { signal }: Listener): Promise<readonly Timing[]> {
    const speeds = request.modes.map((): number[] => []);
    const summaries: GenerateSummary[] = [];
    const texts: string[][] = [];
    for (let round = 0; round <= request.rounds; round++) {
      for (const [i, mode] of request.modes.entries()) {
        signal.throwIfAborted();
        await breathe();
        const run = this.#generate(mode, request, {});
        const text: string[] = [];
        for await (const token of run) text.push(token.text);
        texts[i] = text;
        summaries[i] = run.summary;
        if (round > 0) speeds[i]!.push(run.summary.tokensPerSecond);
      }
    }
    return request.modes.map((mode, i) => ({
      mode,
      speeds: speeds[i]!,
      tokens: texts[i]!,
      decode: summaries[i]!.ledger.decode,
      meanDepth: summaries[i]!.meanDepth,
    }));
  }

  /** Times several modes side by side. */
  race(request: RaceRequest, { signal }: Listener): Promise<LaneResult[]> {
    const lanes = request.modes.map((mode) => {
      const { rounds, observer } = listenToRounds();
      const run = this.#generate(mode, request, { signal, observer });
      return { mode, run, takeRound: () => rounds.pop()?.drafted };
    });
    return race(lanes, { breathe });
  }

  /** Fetches a certificate, and checks it against itself and against the model and the heads that are open. */
  async verify({ url }: VerifyRequest): Promise<Verified> {
    const { model, heads } = this.#opened();
    const { verdict, sentence } = await verifyCertificate(await readJson(url), { model, ...(heads && { heads }) });
    return { refuted: verdict === "refuted", sentence };
  }

  #generate(
    mode: Mode,
    { prompt, policy, maxNewTokens, temperature, topP, seed }: WriteOptions,
    extra: Pick<GenerateOptions, "signal" | "observer">,
  ): ReturnType<typeof generate> {
    const { model, heads } = this.#opened();
    const { observer, ...rest } = extra;
    const room = model.config.maxPositionEmbeddings + 1 - model.tokenizer.encode(prompt).length;
    const options = { ...rest, maxNewTokens: Math.min(maxNewTokens, Math.max(1, room)), temperature, topP, seed };
    const exits = exitOptions(mode, policy, heads);
    if (mode === "plain") return generate(model, prompt, options);
    return generate(heads ?? model, prompt, {
      ...options,
      ...exits,
      allowUncertified: true, // the page has a slider for the temperature; the summary says what is promised
      ...(observer && { observer }),
    });
  }

  #opened(): Session {
    if (this.#session === undefined) throw new PolicyError("model-missing", "No model is loaded yet");
    return this.#session;
  }
}

/** An observer, and the rounds of lossless decoding that it has seen. */
function listenToRounds(): { readonly rounds: RoundSummary[]; readonly observer: DecodeObserver } {
  const rounds: RoundSummary[] = [];
  let byExits = false;
  const observe: DecodeObserver["observe"] = (event) => {
    byExits ||= event.type === "verified";
    if (event.type !== "round") return;
    rounds.push({ ...event, byExits });
    byExits = false;
  };
  return { rounds, observer: { observe } };
}

/** Options that a mode adds. Throws a PolicyError if the mode needs exits and there are none. */
function exitOptions(
  mode: Mode,
  policy: DecodingOptions["policy"],
  heads: ExitHeads | undefined,
): Pick<GenerateOptions, "policy" | "lossless" | "drafts"> {
  if (mode === "plain") return {};
  if (heads === undefined || policy === undefined) {
    throw new PolicyError("policy-missing", "This model has no exit heads with a policy; choose plain decoding");
  }
  // Drafts beside exits run blocks that the page's maps and counts could not explain.
  return { policy, ...(mode === "lossless" ? { lossless: true } : { drafts: false }) };
}

interface FoundExits extends Pick<Opened, "policy" | "points" | "pointsFrom"> {
  readonly heads: ExitHeads | undefined;
  readonly isShipped: boolean;
  /** Storage of the weights that policy or points were certified for. */
  readonly certifiedAs: StoredAs | undefined;
}

/** Heads and policies of a model: those in its folder, otherwise those that come with the page. */
async function exitsOf(source: OpenRequest["source"], index: string, model: Model): Promise<FoundExits> {
  const beside = await headsBeside(source, model);
  const shipped = beside === undefined ? await shippedExits(index, model) : undefined;
  const policy = beside && (await readPolicy(source).catch(nothingFor("policy-missing")));
  const pointsFrom = shipped?.url ?? (typeof source === "string" && beside !== undefined ? source : undefined);
  const points = pointsFrom === undefined ? undefined : await fetchPoints(pointsFrom);
  const certified = (policy ?? points?.points[0]?.certified.policy)?.certified;
  return {
    heads: beside ?? shipped?.heads,
    isShipped: shipped !== undefined,
    policy,
    points,
    pointsFrom,
    certifiedAs: certified?.dtype,
  };
}

/** The heads in the model's folder. A GGUF file at a URL has no folder. */
async function headsBeside(source: OpenRequest["source"], model: Model): Promise<ExitHeads | undefined> {
  if (typeof source === "string" && /\.gguf($|\?)/i.test(source)) return undefined;
  return readHeads(source, model).catch(nothingFor("heads-missing"));
}

/** Turns errors of one code into undefined, and throws all others. */
function nothingFor(code: string): (error: unknown) => undefined {
  return (error) => {
    if (typeof error === "object" && error !== null && "code" in error && error.code === code) return undefined;
    throw error;
  };
}

/** The points beside a model. Only folders at a web address that ends with a slash may have them. */
async function fetchPoints(url: string): Promise<OperatingPoints | undefined> {
  if (!/^https?:.*\/$/.test(url)) return undefined;
  const found = (await readJson(`${url}points.json`).catch(() => undefined)) as Partial<OperatingPoints> | undefined;
  const known = found?.format === "early-exits/operating-points" && found.version === 3;
  return known ? (found as OperatingPoints) : undefined;
}

const channel = new MessageChannel();
channel.port2.start();

/**
 * Lets the worker receive messages, such as a cancel. Shorter than a timer, which browsers round up to milliseconds.
 */
async function breathe(): Promise<void> {
  await new Promise((resume) => {
    channel.port2.onmessage = resume;
    channel.port1.postMessage(undefined);
  });
}
