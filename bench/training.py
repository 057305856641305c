"""The PyTorch side of bench/training.ts: the same Llama, teacher and batch on this processor. Prints the median of the
seconds of a step, and of its processor seconds.

    python bench/training.py --threads 2 --steps 5 --loss kl
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, HIDDEN, LAYERS, HEADS, WORDS, WINDOW = 256, 736, 6, 8, 1024, 256


class RmsNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return F.rms_norm(x, (WIDTH,), self.gain, 1e-5)


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.between = RmsNorm(), RmsNorm()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(WIDTH, HIDDEN, bias=False) for _ in range(2))
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x, cos, sin):
        h = self.before(x)
        split = lambda y: y.view(*y.shape[:2], HEADS, -1).transpose(1, 2)
        q, k, v = rotate(split(self.q(h)), cos, sin), rotate(split(self.k(h)), cos, sin), split(self.v(h))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = x + self.o(mixed)
        h = self.between(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = RmsNorm()
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        size = WIDTH // HEADS
        angles = torch.outer(torch.arange(WINDOW), 10000 ** (-torch.arange(0, size, 2) / size)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids):
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.head(self.norm(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--loss", choices=["cross-entropy", "kl"], default="cross-entropy")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    student, teacher = Llama(), Llama().eval()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, fused=True)

    def step():
        ids = torch.randint(WORDS, (given.batch, WINDOW))
        scores = student(ids)
        if given.loss == "kl":
            with torch.no_grad():
                target = teacher(ids).log_softmax(-1)
            loss = F.kl_div(scores.log_softmax(-1).flatten(0, 1), target.flatten(0, 1), log_target=True, reduction="batchmean")
        else:
            loss = F.cross_entropy(scores[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()

    step()
    times, processor = [], []
    for _ in range(given.steps):
        begin, used = time.perf_counter(), time.process_time()
        step()
        times.append(time.perf_counter() - begin)
        processor.append(time.process_time() - used)
    print(*(sorted(numbers)[len(numbers) // 2] for numbers in (times, processor)))


main()
