"""The lines of the studies' pages, from the results of ``examples/ablation.py``."""

from statistics import mean, stdev

from evaluation.results import read_results
from published import ROOT, results
from study.sweep_report import sweep_table
from uda_seg.metrics import gap_recovered

MAIN = (
    "no adaptation",
    "target only",
    "control",
    "FDA 0.05",
    "light D",
    "light D + FDA 0.05",
    "strong, FDA 0.05",
    "self-training",
    "self-training, rare classes",
)
FEW_WAYS = (
    "as trained",
    "source weight 0.0",
    "source weight 0.2",
    "source weight 0.5",
    "each image's own, source weight 0.5",
    "4 target images, source weight 0.0",
    "source weight of the highest information",
)
TOY_CITY = (
    "target only",
    "no adaptation",
    "no adaptation, strong augmentation",
    "strong, re-estimated",
    "self-training",
    "self-training, then distilled",
)
PARTS = ("ClassMix", "strong augmentation", "FDA", "masks")
README = {
    "source only": "no adaptation",
    "+ target batch-norm statistics (control)": "control",
    "source only, strong augmentation": "no adaptation, strong augmentation",
    "control + light discriminator": "light D",
    "control + FDA, beta 0.10": "FDA 0.10",
    "self-training": "self-training",
    "target labels (upper bound)": "target only",
}

GUIDE = {
    "strong augmentation of source images": "no adaptation, strong augmentation",
    "control: target images also pass through batch norm": "control",
    "[FDA](fda.md), beta 0.10": "FDA 0.10",
    "[mean and covariance](color-transfer.md) of colours": "mean and covariance",
    "[light discriminator](discriminators.md)": "light D",
    "[self-training](self-training-parts.md)": "self-training",
    "target labels": "target only",
}


def scores(study):
    """mIoU in % of each seed, of the rows that have several."""
    rows = read_results(ROOT / f"benchmarks/results/{study}.json")
    by_seed = {
        name: [100 * each["mIoU"] for each in seeds.values()] for name, seeds in rows.items()
    }
    return {name: values for name, values in by_seed.items() if len(values) > 1}


def spread(values, sign="", digits=1):
    return f"{mean(values):{sign}.{digits}f} ± {stdev(values):.{digits}f}"


def over(values, others):
    return [value - other for value, other in zip(values, others, strict=True)]


def gap(values, found, suffix=""):
    ends = found[f"no adaptation{suffix}"], found[f"target only{suffix}"]
    return [100 * gap_recovered(*three) for three in zip(values, *ends, strict=True)]


def over_the_control(study, names=None):
    found = scores(study)
    for name in names or found:
        values = found[name]
        gain = spread(over(values, found["control"]), "+")
        yield name, spread(values), gain, spread(gap(values, found))


def ablation():
    return over_the_control("ablation")


def readme():
    toy_city = scores("ablation") | scores("no_training")
    camvid = scores("camvid") | scores("no_training_camvid")
    for label, name in README.items():
        yield label, spread(toy_city[name]), spread(camvid[name])


def guide():
    """The scores of the table that says which part is for which problem."""
    toy_city = scores("ablation") | scores("no_training")
    camvid = scores("camvid") | scores("no_training_camvid")
    for part, name in GUIDE.items():
        yield part, spread(toy_city[name]), spread(camvid[name])


def toy_city():
    found = scores("self_training")
    for name in TOY_CITY:
        yield name, spread(found[name]), spread(gap(found[name], found))


def camvid():
    return over_the_control("camvid", MAIN)


def parts():
    found = scores("camvid")
    date = ", 2026-11-23"  # FDA has changed in its last digits since
    whole = found[f"self-training{date}"]
    rare = found[f"self-training, rare classes{date}"]
    rows = {f"self-training, no {part}": found[f"self-training, no {part}"] for part in PARTS}
    for name, values in {"self-training, rare classes": rare, **rows}.items():
        yield name, spread(values), spread(over(values, whole), "+")


def longer():
    found = scores("camvid")
    for name in ("no adaptation", "target only", "self-training, rare classes"):
        values = found[f"{name}, 900 steps"]
        share = spread(gap(values, found, ", 900 steps"))
        yield name, spread(values), share


def transfers_toy_city():
    return over_the_control("no_training")


def transfers_camvid():
    return over_the_control("no_training_camvid")


def statistics_toy_city():
    return sweep_table(results("statistics")["rows"])[1:]


def statistics_camvid():
    return sweep_table(results("statistics_camvid")["rows"])[1:]


def at_night():
    return few_ways("statistics_night")


def in_haze():
    return few_ways("statistics_haze")


def few_ways(name):
    """The ends, the middle and what needs few images of a sweep."""
    return [line for line in sweep_table(results(name)["rows"]) if line[0] in FEW_WAYS]


def students_camvid():
    return students("distillation")


def students_toy_city():
    return students("distillation_toy")


def students(study):
    found = scores(study)
    for name, values in found.items():
        yield name, spread(values), spread(over(values, found["source only"][: len(values)]), "+")


def tried():
    for name, seeds in read_results(ROOT / "benchmarks/results/camvid_tried.json").items():
        yield (
            name,
            *(f"{100 * seeds[seed]['mIoU']:.1f}" if seed in seeds else "-" for seed in (3, 4)),
        )


def crops():
    whole = scores("no_training")
    for name, values in scores("crop").items():
        difference = spread(over(values, whole[name]), "+")
        yield name, spread(whole[name]), spread(values), difference


NO_TRAINING = (
    transfers_toy_city,
    transfers_camvid,
    statistics_toy_city,
    statistics_camvid,
    at_night,
    in_haze,
)
PAGES = {
    ablation: "docs/ablation.md",
    readme: "README.md",
    guide: "docs/index.md",
    toy_city: "docs/self-training.md",
    camvid: "docs/self-training.md",
    parts: "docs/self-training.md",
    longer: "docs/self-training.md",
    students_camvid: "docs/self-training.md",
    students_toy_city: "docs/self-training.md",
    tried: "docs/self-training.md",
    crops: "docs/self-training-parts.md",
    **dict.fromkeys(NO_TRAINING, "docs/no-training.md"),
}
