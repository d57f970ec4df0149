"""The lines of the components' pages, from the benchmarks' results."""

from statistics import mean

from evaluation.results import read_results
from published import ROOT, results
from published.studies import spread

STEPS = ("4x96x192, lcnet_050", "1x512x1024, resnet18")


def ms(figures, digits=0):
    return f"{figures['median_ms']:,.{digits}f}"


def ratio(one, other, figure="median_ms", digits=1):
    return f"{one[figure] / other[figure]:.{digits}f}"


def fda_formulas():
    for name, figures in (formulas := results("fda")["formulas"]).items():
        formula, beta = name.rsplit(" ", 1)
        times = ratio(figures, formulas[f"ours {beta}"])
        memory, error = f"{figures['peak_MiB']:.0f}", f"{figures['error']:.0e}"
        yield f"{float(beta):.2f}", formula, ms(figures, 1), times, memory, error


def fda_sizes():
    for shape, figures in results("fda")["sizes"].items():
        for beta in ("0.01", "0.05", "0.1"):
            ours, *others = (times for name, times in figures.items() if name.endswith(f" {beta}"))
            yield shape, f"{float(beta):.2f}", ms(ours, 1), *(ratio(each, ours) for each in others)


def fda_crossover():
    for shape in dict.fromkeys(name.split()[0] for name in results("fda_crossover") if "x" in name):
        row = [results("fda_crossover")[f"{shape} {beta}"] for beta in (0.01, 0.03, 0.05, 0.1, 0.2)]
        yield (
            shape,
            *(" / ".join(bold_if_chosen(each, w) for w in ("products", "ffts")) for each in row),
        )


def bold_if_chosen(cell, way):
    return f"**{ms(cell[way], 1)}**" if way == cell["chosen"] else ms(cell[way], 1)


def color_transfers():
    for name, figures in results("color_transfer")["results"].items():
        ours, plain = figures["ours"], figures["plain"]
        memory = (f"{each['peak_MiB']:.0f}" for each in (ours, plain))
        yield name, ms(ours, 1), ms(plain, 1), ratio(plain, ours), *memory


def counts():
    for name, figures in results("confusion").items():
        if ", " in name:
            times = [ms(each, 1) for each in figures.values()]
            speedup = ratio(figures["torchmetrics"], figures["uda_seg"])
            yield name.replace("regions", "smooth regions"), *times, speedup


def training_losses():
    for name, figures in results("training_loss").items():
        if name != "environment":
            plain, banded = figures["plain"], figures["banded"]
            bound = ratio(figures["no loss"], plain, digits=2) if "no loss" in figures else ""
            memory = (f"{each['peak_MiB']:,.0f}" for each in (plain, banded))
            yield (
                name.replace("losses alone", "the three losses alone"),
                *(ms(plain), ms(banded), ratio(banded, plain, digits=2)),
                *(*memory, ratio(banded, plain, "peak_MiB", digits=2), bound),
            )


def discriminators():
    for name, figures in results("discriminators").items():
        if name != "environment":
            maps = name.replace("channels_last", "channels-last").replace(" ", ", ", 1)
            times = (figures[who] for who in ("full", "light of torch's layers", "light"))
            yield maps, *map(ms, times), ratio(figures["full"], figures["light"])


def adaptation_step():
    small, large = (results("training_step")[name] for name in STEPS)
    names = ("whole step", "FDA", "segmenter, source", "segmenter, target", "discriminator, frozen",
             "discriminator, learning", "optimizers")  # fmt: skip
    for name, few, many in zip(
        names, small["times"].values(), large["times"].values(), strict=True
    ):
        first = (ms(few[who], 1) for who in ("plain", "ours"))
        second = (
            ms(many[who], 1 if many[who]["median_ms"] < 100 else 0) for who in ("plain", "ours")
        )
        yield (name, *first, ratio(few["plain"], few["ours"]),
               *second, ratio(many["plain"], many["ours"]))  # fmt: skip
    peaks = ([step["peak_MiB"][who] for who in ("plain", "ours")] for step in (small, large))
    cells = ((f"{plain:.0f}", f"{ours:.0f}", f"{plain / ours:.1f}") for plain, ours in peaks)
    yield "peak memory, MiB", *(cell for three in cells for cell in three)


def quickest(times, bits=32):
    """The best of the ways in float32, or in ``bf16`` or ``int8``."""
    kinds = {32: lambda way: "bf16" not in way and "int8" not in way}
    of_kind = kinds.get(bits, lambda way: bits in way)
    found = (each for way, each in times.items() if of_kind(way))
    return min(found, key=lambda figures: figures["median_ms"])


ADAPTED = {  # who trained the network of a backbone on CamVid: results and row
    "tf_efficientnet_lite0": ("camvid", "self-training, rare classes"),
    "resnet18": ("distillation", "distilled, resnet18"),
    "mobilenetv4_conv_small": ("distillation", "distilled, mobilenetv4_conv_small"),
    "lcnet_050": ("distillation", "distilled"),
}


def adapted(backbone):
    """MIoU in % of each seed on CamVid."""
    study, row = ADAPTED[backbone]
    found = read_results(ROOT / f"benchmarks/results/{study}.json")[row]
    return [100 * each["mIoU"] for each in found.values()]


def choice():
    """Which backbone and runtime for which rate, at 512x1024."""
    for backbone in ADAPTED:
        times = results("realtime")["results"][f"{backbone} 512x1024"]["times"]
        score = adapted(backbone)
        accuracy = spread(score) if len(score) > 1 else f"{mean(score):.1f}"
        found = [quickest(times, bits) for bits in (32, "bf16", "int8")]
        best = min(found, key=lambda figures: figures["median_ms"])
        (runtime,) = (way for way, figures in times.items() if figures is best)
        rate = f"{1e3 / best['median_ms']:.0f}"
        yield f"`{backbone}`", accuracy, *map(ms, found), rate, runtime


def frames():
    found = results("realtime")["results"]
    for backbone in dict.fromkeys(name.split()[0] for name in found):
        small, large = (found[f"{backbone} {size}"] for size in ("512x1024", "1024x2048"))
        cells = [f"{small['parameters'] / 1e6:.2f}", f"{small['GMac']:.1f}"]
        for each, digits in ((small, 1), (large, 1)):
            for bits in (32, "bf16", "int8"):
                a_second = 1e3 / quickest(each["times"], bits)["median_ms"]
                cells.append(f"{a_second:.{digits}f}")
        yield f"`{backbone}`", *cells, f"{small['peak_MiB']:.0f}"


def inference(key="times"):
    for name, figures in results("realtime")["results"].items():
        yield f"`{name.replace(' ', '`, ')}", *map(ms, figures[key].values())


def inference_on_one_thread():
    return inference("times_one_thread")


def parts():
    figures = results("realtime")["results"]["resnet18 512x1024"]
    for part, eager in figures["parts_ms"].items():
        layout = figures["parts_ms_channels_last"][part]
        yield part.replace("_", " "), f"{eager:.0f}", f"{layout:.0f}"


def reading():
    for name, figures in results("data_reading")["results"].items():
        cells = (f"{figures[key]:.1f}" for key in ("samples_a_second", "times_the_reader"))
        same = "yes" if figures["same_samples"] else "no"
        yield name, *cells, f"{figures['kB_a_pair']:,.0f}", same


def waiting():
    found = results("data_waiting")["results"]
    trainings = {"toy city's": "lcnet_050, 4x96x192", "512x1024": "resnet18, 1x512x1024"}
    for key, name in trainings.items():
        held = f"{found[f'{key}, in memory']['both_ms']:,.0f}"
        read = (found[f"{key}, {source}"] for source in ("prepared copy", "full size"))
        yield name, held, *(f"{each['both_ms']:,.0f} ({each['wait_ms']:.1f})" for each in read)


PAGES = {
    fda_formulas: "docs/fda.md",
    fda_sizes: "docs/fda.md",
    fda_crossover: "docs/fda.md",
    color_transfers: "docs/color-transfer.md",
    counts: "docs/metrics.md",
    training_losses: "docs/training-loss.md",
    adaptation_step: "docs/training-step.md",
    discriminators: "docs/training-step.md",
    choice: "docs/realtime.md",
    frames: "docs/realtime.md",
    inference: "docs/realtime.md",
    inference_on_one_thread: "docs/realtime.md",
    parts: "docs/realtime.md",
    reading: "docs/data.md",
    waiting: "docs/data.md",
}
