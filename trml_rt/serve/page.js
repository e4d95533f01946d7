"use strict";

// The page of `trml-rt serve`. It asks its own server alone, and shows texts as texts.

const at = id => document.getElementById(id);
const made = (tag, words, attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = words ?? "";
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
let about = {labels: [], range: [0, 1], stream: false};

// Asking.

const bearer = () => at("token").value ? {Authorization: `Bearer ${at("token").value}`} : {};

async function ask(path, options = {}) {
  const response = await fetch(path, {...options, headers: bearer()});
  if (response.status === 401) at("token-row").hidden = false;
  if (!response.ok) {
    const {error} = await response.json();
    throw new Error(error.message ?? error);
  }
  return response;
}

function complain(place, error) {
  at(place).hidden = error === null;
  at(place).textContent = error === null ? "" : error.message;
}

function row(name, ...cells) {
  const line = document.createElement("tr");
  line.append(made("th", name), ...cells);
  return line;
}

const reading = inputs => Object.entries(inputs).map(([name, report]) => {
  const words = [report.state];
  if (report.reason) words.push(`because: ${report.reason.replaceAll("_", " ")}`);
  if (report.tokens !== undefined) words.push(`${report.tokens} tokens`);
  if (report.frames !== undefined) words.push(`${report.frames} frames`);
  if (report.truncated) words.push("truncated");
  if (report.incomplete) words.push("incomplete");
  return row(name, made("td", words.join(", "), {"data-input": name, "data-state": report.state}));
});

function meter(value) {
  const [low, high] = about.probabilities ? [0, 1] : about.range ?? [0, 1];
  return made("meter", "", {min: low, max: high, value});
}

function show(place, answer) {
  const table = document.createElement("table");
  const scores = answer.probabilities ?? {[answer.label]: answer.score};
  for (const [name, value] of Object.entries(scores)) {
    const cell = document.createElement("td");
    cell.append(meter(value), ` ${value.toFixed(3)}`);
    table.append(row(name, cell));
  }
  table.append(...reading(answer.inputs));
  const engines = `${answer.engine_set} on ${answer.backend}, ${answer.engines} engines`;
  table.append(row("engine set", made("td", engines + (answer.verified ? "" : " (unverified)"))));
  for (const [name, ms] of Object.entries(answer.ms)) {
    table.append(row(name, made("td", `${ms.toFixed(2)} ms`, {"data-ms": name})));
  }
  at(place).replaceChildren(made("p", answer.label, {class: "label"}), table);
  at(place).hidden = false;
}

at("ask").addEventListener("submit", async event => {
  event.preventDefault();
  const form = new FormData();
  if (at("text").value) form.append("text", at("text").value);
  if (at("file").files[0]) form.append("video", at("file").files[0]);
  form.append("degrade", at("degrade").checked);
  try {
    complain("fault", null);
    show("answer", await (await ask("infer", {method: "POST", body: form})).json());
  } catch (error) {
    at("answer").hidden = true;
    complain("fault", error);
  }
});
at("clear").addEventListener("click", () => {
  at("ask").reset();
  chosen();
});

function chosen() {
  at("chosen").textContent = at("file").files[0]?.name ?? "";
}
at("file").addEventListener("change", chosen);
for (const name of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(name, event => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) {
      at("file").files = event.dataTransfer.files;
      chosen();
    }
  });
}

// The curve: a step for each answer, the last minute.

const SECONDS = 60, WIDTH = 1000, HEIGHT = 220;
const COLOURS = ["#2166ac", "#d05c16", "#1b8a5a", "#963ca0", "#be9600", "#785a3c"];
const svg = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const answers = [];  // each: when, what is present, and a value for each curve

function add(answer) {
  const present = ["text", "video"].filter(name => answer.inputs[name].state === "real").join("_");
  const values = answer.probabilities ? Object.values(answer.probabilities) : [answer.score];
  answers.push({at: performance.now() / 1e3, present, values});
  while (answers.length > 1 && answers[1].at < answers.at(-1).at - SECONDS) answers.shift();
  show("watched", answer);
  draw();
}

function draw() {
  const now = performance.now() / 1e3, began = now - SECONDS;
  const [low, high] = about.probabilities ? [0, 1] : about.range ?? [0, 1];
  const x = t => Math.max(0, (t - began) / SECONDS * WIDTH);
  const y = value => (1 - (value - low) / (high - low)) * HEIGHT;
  const end = place => answers[place + 1]?.at ?? now;
  const stretches = [];
  answers.forEach((answer, place) => {
    const last = stretches.at(-1);
    if (last?.present === answer.present) last.end = end(place);
    else stretches.push({present: answer.present, start: answer.at, end: end(place)});
  });
  at("stretches").replaceChildren(...stretches.filter(each => each.present !== "text_video").map(
    each => svg("rect", {class: "virtual", "data-present": each.present, x: x(each.start), y: 0,
      width: Math.max(0, x(each.end) - x(each.start)), height: HEIGHT,
      fill: `url(#virtual-${each.present})`})));
  const curves = answers[0]?.values.length ?? 0;
  at("paths").replaceChildren(...[...Array(curves).keys()].map(number => {
    const steps = answers.map((answer, place) =>
      `${place ? "L" : "M"}${x(answer.at)} ${y(answer.values[number])}` +
      `L${x(end(place))} ${y(answer.values[number])}`);
    const stroke = `stroke:${curves > 1 ? COLOURS[number % COLOURS.length] : "currentColor"}`;
    const path = svg("path", {class: "curve", d: steps.join("")});
    path.style.cssText = stroke;
    return path;
  }));
  at("scale").replaceChildren(...[low, (low + high) / 2, high].flatMap(value => {
    const text = svg("text", {x: 4, y: Math.min(Math.max(y(value) - 4, 12), HEIGHT - 4)});
    text.textContent = value;
    return [svg("path", {class: "scale", d: `M0 ${y(value)}H${WIDTH}`}), text];
  }));
}

function happened(event) {
  const reason = event.reason === event.state ? "" : event.reason;
  const words = [event.event, event.state, reason].filter(Boolean).join(" ");
  at("events").prepend(made("li", `${words}${event.message ? `: ${event.message}` : ""}`));
}

function hear(message) {
  if (message.error) complain("watch-fault", new Error(message.error.message));
  else if (message.event) happened(message);
  else add(message);
}
setInterval(() => answers.length && draw(), 500);

// The camera: pictures and words over a WebSocket.

const EVERY = 250;  // milliseconds between two pictures
let socket = null, camera = null, sending = 0;

async function start() {
  complain("watch-fault", null);
  if (!navigator.mediaDevices) {
    throw new Error("the browser gives the camera to pages of this machine or of https alone");
  }
  camera = await navigator.mediaDevices.getUserMedia({video: {width: 320}});
  const video = at("preview");
  video.srcObject = camera;
  video.hidden = false;
  await video.play();
  const address = new URL("live?every=0.25&stall_after=1.5", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const words = ["trml-rt"];
  if (at("token").value) {
    const bytes = new TextEncoder().encode(at("token").value);
    const encoded = btoa(String.fromCharCode(...bytes));
    words.push(`bearer.${encoded.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`);
  }
  socket = new WebSocket(address, words);
  socket.onmessage = event => hear(JSON.parse(event.data));
  socket.onopen = () => { sending = setInterval(send, EVERY); };
  socket.onclose = event => {
    stop();
    if (event.code !== 1000) {
      complain("watch-fault", new Error(`the server ended it: ${event.reason || event.code}`));
    }
  };
  for (const each of [at("cover"), ...at("say").elements]) each.disabled = false;
  at("camera").textContent = "Stop camera";
}

function send() {
  const video = at("preview"), canvas = document.createElement("canvas");
  if (at("cover").ariaPressed === "true" || socket.bufferedAmount > 1e6 || !video.videoWidth) return;
  const t = performance.now() / 1e3;
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob(async blob => {
    const picture = await blob.arrayBuffer();
    const message = new Uint8Array(8 + picture.byteLength);
    new DataView(message.buffer).setFloat64(0, t);
    message.set(new Uint8Array(picture), 8);
    if (socket?.readyState === WebSocket.OPEN) socket.send(message);
  }, "image/jpeg", 0.8);
}

function stop() {
  clearInterval(sending);
  for (const track of camera?.getTracks() ?? []) track.stop();
  at("preview").hidden = true;
  camera = socket = null;
  for (const each of [at("cover"), ...at("say").elements]) each.disabled = true;
  at("camera").textContent = "Start camera";
}

at("camera").addEventListener("click", () => {
  if (socket) {
    clearInterval(sending);
    socket.send(JSON.stringify({stop: true}));
    return;
  }
  start().catch(error => {
    stop();
    complain("watch-fault", error);
  });
});
at("cover").addEventListener("click", () => {
  const covered = at("cover").ariaPressed !== "true";
  at("cover").ariaPressed = covered;
  at("cover").textContent = covered ? "Uncover camera" : "Cover camera";
});
at("say").addEventListener("submit", event => {
  event.preventDefault();
  if (socket?.readyState === WebSocket.OPEN && at("words").value) {
    socket.send(JSON.stringify({text: at("words").value}));
    at("words").value = "";
  }
});

// The stream of the server: server-sent events, read by `fetch`, which can bear a token.

async function watch() {
  complain("watch-fault", null);
  const reader = (await ask("stream")).body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const parts = (waiting + value).split("\n\n");
    waiting = parts.pop();
    for (const part of parts) {
      const [kind, data] = ["event: ", "data: "].map(
        head => part.split("\n").find(line => line.startsWith(head))?.slice(head.length));
      if (data === undefined) continue;
      const content = JSON.parse(data);
      if (kind === "failed") hear({error: content});
      else hear(kind === "end" ? {event: "end"} : content);
    }
  }
}
at("stream").addEventListener("click", () => {
  at("stream").disabled = true;
  watch().catch(error => complain("watch-fault", error))
    .finally(() => { at("stream").disabled = false; });
});

async function begin() {
  about = await (await ask("about")).json();
  complain("fault", null);
  about.probabilities = about.task === "classification";
  document.title = at("name").textContent = about.name;
  at("about").textContent = `${about.labels.join(", ")}; ${about.engines} engines on ` +
    `${about.backend}${about.verified ? "" : " (unverified)"}; trml-rt ${about.version}`;
  at("stream").hidden = !about.stream;
  at("labels").replaceChildren(...(about.probabilities ? about.labels : []).map((label, number) => {
    const name = made("span", label);
    name.style.color = COLOURS[number % COLOURS.length];
    return name;
  }));
  draw();
}
at("token").addEventListener("change", () => begin().catch(error => complain("fault", error)));
begin().catch(error => complain("fault", error));
