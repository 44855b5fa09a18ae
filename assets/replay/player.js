"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const source = byId("data").textContent;
  const data = JSON.parse(source);
  const ROLES = new Set("pdhbwsf");

  // Each step has only what differs from the one before.
  const steps = [];
  let state = { t: 0, c: -1, n: [], l: [], ladder: [], s: [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]] };
  for (const step of data.steps) {
    const ladder = step.d ? state.ladder.slice(0, step.k).concat(step.d) : state.ladder;
    state = {
      t: step.t, c: step.c ?? state.c, n: step.n ?? state.n, l: step.l ?? state.l, ladder, s: step.s ?? state.s,
    };
    steps.push(state);
  }
  const end = steps.length - 1;
  const length = steps[end].t;
  // A frame is a step with which a caption begins; the end is one, too.
  const frames = [];
  steps.forEach((step, at) => {
    if (at === 0 || at === end || step.c !== steps[at - 1].c) frames.push(at);
  });
  const actOf = (step) => (step.c < 0 ? 0 : data.captions[step.c][0]);

  let now = 0;
  let isPlaying = false;
  let speed = 1;
  let timer = 0;

  const setText = (id, text) => { byId(id).textContent = text; };
  const clock = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;
  const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

  // Foreign text is only ever put into text nodes.
  const drawRow = (number) => {
    const row = document.createElement("div");
    row.className = "row";
    for (const piece of data.rows[number]) {
      if (typeof piece === "number") {
        row.dataset.message = piece;
        row.tabIndex = -1;
        continue;
      }
      const span = document.createElement("span");
      const role = piece[0];
      if (ROLES.has(role) && role !== "p") span.className = role;
      span.textContent = piece.slice(1);
      row.append(span);
    }
    return row;
  };
  const shown = {};
  const drawRows = (id, numbers) => {
    if (shown[id] === numbers) return;
    const before = shown[id] ?? [];
    const box = byId(id);
    let same = 0;
    while (same < before.length && same < numbers.length && before[same] === numbers[same]) same += 1;
    while (box.childElementCount > same) box.lastElementChild.remove();
    box.append(...numbers.slice(same).map(drawRow));
    shown[id] = numbers;
    if (id === "ladder") box.scrollTop = box.scrollHeight;
  };

  const tally = (score) => {
    const [naive, landfall] = score;
    const box = byId("tally");
    const figure = (text, isBad) => {
      const span = document.createElement("span");
      if (isBad) span.className = "b";
      span.textContent = text;
      return span;
    };
    box.replaceChildren(
      `naive: ${grouped(naive[0])} typed, `,
      figure(`${grouped(naive[2])} LOST`, naive[2] > 0), ", ",
      figure(`${grouped(naive[3])} TWICE`, naive[3] > 0), ", ",
      figure(`${grouped(naive[4])} NEVER SEEN`, naive[4] > 0),
      "  ·  Landfall: ",
      figure(`${grouped(landfall[2])} lost`, landfall[2] > 0), ", ",
      figure(`${grouped(landfall[3])} twice`, landfall[3] > 0),
    );
  };

  const show = (at) => {
    now = Math.max(0, Math.min(end, at));
    const step = steps[now];
    const caption = step.c < 0 ? [0, "A naive chat and Landfall start.", "", ""] : data.captions[step.c];
    const inAct = data.captions.filter((other) => other[0] === caption[0]).length;
    const first = data.captions.findIndex((other) => other[0] === caption[0]);
    setText("where", step.c < 0 ? "" : `${data.acts[caption[0]]}, frame ${step.c - first + 1} of ${inAct}`);
    if (byId("headline").textContent !== caption[1]) {
      setText("headline", caption[1]);
      setText("sentence", caption[2]);
    }
    setText("detail", caption[3]);
    drawRows("naive", step.n);
    drawRows("landfall", step.l);
    drawRows("ladder", step.ladder);
    tally(step.s);
    const bar = byId("bar");
    bar.value = step.t;
    bar.setAttribute("aria-valuetext", `${caption[1]} ${clock(step.t)}`);
    setText("time", `${clock(step.t)} of ${clock(length)}`);
  };

  const pause = () => {
    isPlaying = false;
    clearTimeout(timer);
    setText("play", "play");
  };
  const goOn = () => {
    if (now >= end) return pause();
    timer = setTimeout(() => { show(now + 1); goOn(); }, (steps[now + 1].t - steps[now].t) / speed);
  };
  const play = () => {
    if (now >= end) show(0);
    isPlaying = true;
    setText("play", "pause");
    clearTimeout(timer);
    goOn();
  };
  const toggle = () => (isPlaying ? pause() : play());
  const jump = (at) => {
    show(at);
    if (isPlaying) play();
  };
  const nextFrame = () => jump(frames.find((frame) => frame > now) ?? end);
  const previousFrame = () => jump(frames.findLast((frame) => frame < now) ?? 0);

  const openPlayer = () => {
    byId("proof").hidden = true;
    byId("player").hidden = false;
    byId("play").focus({ preventScroll: true });
  };
  const openProof = () => {
    pause();
    byId("player").hidden = true;
    byId("proof").hidden = false;
    tally(steps[end].s);
    byId("watch").focus({ preventScroll: true });
  };

  // The last step at or before this time; a frame, unless single events are asked for.
  const at = (time, isExact) => {
    const places = isExact ? steps.map((_, step) => step) : frames;
    return places.findLast((step) => steps[step].t <= time) ?? 0;
  };
  let hasShift = false;
  addEventListener("pointerdown", (event) => { hasShift = event.shiftKey; }, true);
  addEventListener("pointermove", (event) => { hasShift = event.shiftKey; }, true);
  const bar = byId("bar");
  bar.max = length;
  bar.addEventListener("input", () => { pause(); show(at(Number(bar.value), hasShift)); });

  // One tick for each act and each loss.
  const tick = (step, kind, title) => {
    const mark = document.createElement("i");
    mark.className = kind;
    mark.title = title;
    byId("ticks").append(mark);
    mark.style.left = `${(100 * step.t) / Math.max(1, length)}%`;
  };
  steps.forEach((step, index) => {
    const before = steps[index - 1];
    if (step.c >= 0 && (!before || before.c < 0 || actOf(before) !== actOf(step))) tick(step, "a", data.acts[actOf(step)]);
    if (before && step.s[0][2] > before.s[0][2]) tick(step, "b", "the naive chat loses a message");
  });

  // The same message in both chats and in the ladder.
  const light = (event) => {
    const row = event.target.closest?.(".row");
    const message = row?.dataset.message;
    for (const other of document.querySelectorAll(".row")) {
      other.classList.toggle("lit", message !== undefined && other.dataset.message === message);
    }
  };
  byId("stage").addEventListener("pointerover", light);
  byId("stage").addEventListener("focusin", light);

  byId("first").addEventListener("click", () => jump(0));
  byId("back").addEventListener("click", previousFrame);
  byId("play").addEventListener("click", toggle);
  byId("next").addEventListener("click", nextFrame);
  byId("last").addEventListener("click", () => jump(end));
  byId("speed").addEventListener("click", () => {
    speed = speed === 1 ? 4 : 1;
    setText("speed", `${speed}x`);
    if (isPlaying) play();
  });
  byId("watch").addEventListener("click", () => { openPlayer(); show(0); play(); });
  byId("toggle").addEventListener("click", () => {
    const isAway = byId("story").classList.toggle("away");
    byId("toggle").setAttribute("aria-expanded", String(!isAway));
    if (!isAway) byId("story").scrollIntoView();
  });
  byId("download").addEventListener("click", () => {
    byId("download").href = URL.createObjectURL(new Blob([source], { type: "application/json" }));
  });

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const isOpen = !byId("player").hidden;
    const isButton = event.target.closest?.("button, a, summary");
    const onKey = {
      " ": () => toggle(),
      "ArrowRight": () => { pause(); event.shiftKey ? nextFrame() : show(now + 1); },
      "ArrowLeft": () => { pause(); event.shiftKey ? previousFrame() : show(now - 1); },
      "Home": () => jump(0),
      "End": () => jump(end),
      "p": openProof,
      "P": openProof,
    }[event.key];
    const act = Number(event.key) - 1;
    const begin = act >= 0 && act < data.acts.length ? steps.findIndex((step) => step.c >= 0 && actOf(step) === act) : -1;
    if (begin >= 0) {
      openPlayer();
      jump(begin);
    } else if (isOpen && onKey && !(isButton && event.key === " ")) {
      onKey();
    } else {
      return;
    }
    event.preventDefault();
  });

  byId("story").classList.add("away");
  byId("links").hidden = false;
  byId("watch").hidden = false;
  show(end);
  byId("watch").focus({ preventScroll: true });
})();
