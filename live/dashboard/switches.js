/** Sound and browser notification of new signals: off at first, remembered. */

import { byId, setAttributes, setText } from "./dom.js";
import { price } from "./format.js";

const PITCHES = { RePump: [660, 990], FirstPump: [520, 660] };
const PREFIX = "repump.";

let audio = null;

/** Make the two buttons work. */
export function initSwitches() {
  initSwitch("sound", "Sound", startSound);
  initSwitch("notify", "Notify", mayNotify);
  if (isOn("sound")) addEventListener("pointerdown", startSound, { once: true });
  if (!("Notification" in window) || !window.isSecureContext) {
    setAttributes(byId("notify"), { disabled: "", title: "Needs https or localhost" });
  }
}

/** Tell of a new signal in the ways that are on. */
export function tellOf(signal) {
  if (isOn("sound")) play(PITCHES[signal.state] ?? PITCHES.FirstPump);
  if (isOn("notify") && window.Notification?.permission === "granted") {
    const title = `${signal.state} ${signal.symbol} ${price(signal.price)}`;
    const body = `move ${signal.move_pct} %, rvol ${signal.rvol_1m}, base ${signal.base_range_pct} %`;
    new Notification(title, { body, tag: `repump-${signal.seq}`, icon: "/dashboard/icon.svg" });
  }
}

function isOn(name) {
  return localStorage.getItem(PREFIX + name) === "on";
}

function initSwitch(name, label, start) {
  const button = byId(name);
  const show = () => {
    setAttributes(button, { "aria-pressed": isOn(name) });
    setText(button, `${label} ${isOn(name) ? "on" : "off"}`);
  };
  button.onclick = async () => {
    const wanted = !isOn(name) && (await start());
    localStorage.setItem(PREFIX + name, wanted ? "on" : "off");
    show();
  };
  show();
}

async function startSound() {
  audio ??= new AudioContext();
  await audio.resume();
  return true;
}

async function mayNotify() {
  return (await Notification.requestPermission()) === "granted";
}

function play(pitches) {
  if (audio?.state !== "running") return;
  pitches.forEach((pitch, place) => {
    const start = audio.currentTime + place * 0.14;
    const tone = new OscillatorNode(audio, { frequency: pitch, type: "triangle" });
    const level = new GainNode(audio, { gain: 0 });
    level.gain.linearRampToValueAtTime(0.2, start + 0.01);
    level.gain.exponentialRampToValueAtTime(0.001, start + 0.13);
    tone.connect(level).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.14);
  });
}
