"""What this plugin adds to prefalign. Strings only: discovery imports no numerics."""

from collections.abc import Iterable

from prefalign.hooks import API, Check, Command, Component, PluginInfo, hookimpl

BATON = "2402.00744"
TANGO2 = "2404.09956"
TANGOFLUX = "2412.21037"
LEVO = "2506.07520"
MUSICGEN = "2306.05284"


@hookimpl
def prefalign_plugin() -> PluginInfo:
    """Name the namespace."""
    return PluginInfo(
        name="audio",
        api=API,
        summary="Sound: text-to-audio denoisers, reward models from listeners' labels, audio metrics",
        modalities=("audio", "text"),
        papers=(BATON, TANGO2, TANGOFLUX, LEVO),
    )


@hookimpl
def prefalign_components() -> Iterable[Component]:
    """List the components."""
    return (
        Component(
            "denoiser",
            "event_denoiser",
            "prefalign_audio.demo.denoiser:EventDenoiser",
            "The sound demonstration's small rectified flow",
        ),
        _denoiser("audioldm", "audioldm:AudioLDM", "AudioLDM: a U-Net under CLAP's vector", "2301.12503"),
        _denoiser("musicldm", "audioldm:MusicLDM", "MusicLDM: AudioLDM for music", "2308.01546"),
        _denoiser("audioldm2", "audioldm2:AudioLDM2", "AudioLDM 2: a U-Net under GPT-2 and T5", "2308.05734"),
        _denoiser("tango", "tango:Tango", "Tango and Tango 2: a U-Net under FLAN-T5", "2304.13731", TANGO2),
        _denoiser("tangoflux", "tangoflux:TangoFlux", "TangoFlux: a rectified flow, up to 30 seconds", TANGOFLUX),
        _denoiser("stable_audio", "stable_audio:StableAudio", "Stable Audio Open: stereo at 44.1 kHz", "2407.14358"),
        _denoiser("stable_audio_3", "stable_audio_3:StableAudio3", "Stable Audio 3: a rectified flow"),
        _denoiser("longcat", "longcat:LongCat", "LongCat-AudioDiT: a flow over waveform latents", "2603.29339"),
        _denoiser("ace_step", "ace_step:AceStep", "ACE-Step 1.5: music under tags and lyrics", "2602.00744"),
        Component(
            "policy",
            "streams",
            "prefalign_audio.streams.policy:StreamPolicy",
            "Songs and speech as several token streams, each with a weight of its own",
            papers=(LEVO,),
        ),
        Component(
            "stream_model",
            "lelm",
            "prefalign_audio.streams.models.lelm:LeLMModel",
            "LeVo: one decoder for the mix, one for its parts",
            papers=(LEVO,),
        ),
        _stream_model("musicgen", "musicgen:MusicGen", "MusicGen, mono or stereo: EnCodec's codes under T5", MUSICGEN),
        _stream_model("musicgen_melody", "musicgen_melody:MusicGenMelody", "MusicGen that follows a melody", MUSICGEN),
        _stream_model("dia", "dia:Dia", "Dia: DAC's codes of a dialogue under its script"),
        _stream_model("csm", "csm:Csm", "CSM: Mimi's codes of speech, a backbone and a depth decoder"),
        Component(
            "conditioner",
            "song_conditions",
            "prefalign_audio.streams.conditions.song:SongConditions",
            "Syllables by their phonemes, mode, register and quality",
        ),
        Component(
            "conditioner",
            "text_conditions",
            "prefalign_audio.streams.conditions.text:TextConditions",
            "Lyrics, description and quality as text",
        ),
        Component(
            "reward",
            "sound_text",
            "prefalign_audio.rewards.sound_text:SoundTextReward",
            "Does a sound match its caption: a head on frozen vectors of both",
            papers=(BATON,),
        ),
        _song_reward("lyric", "LyricReward", "Syllables missing and added, in phonemes", LEVO),
        _song_reward("prompt", "PromptReward", "Is a song in the mode and register asked for"),
        _song_reward("key", "KeyReward", "Notes that keep to a key, and not to one pitch"),
        _song_reward("musicality", "MusicalityReward", "Learnt from real songs against spoiled ones", LEVO),
        _encoder("mel_statistics", "mel_statistics:MelStatistics", "Mean and spread of mel bands, no weights"),
        _encoder("aisfx", "aisfx:Aisfx", "Embedding of sound effects"),
        _encoder("musicnn", "musicnn:Musicnn", "Embedding of music, and 50 tags"),
        _encoder("distillmos", "distillmos:DistillMOS", "Predicted quality of speech"),
        _encoder("dnsmos", "dnsmos:DNSMOS", "Predicted quality of speech, background, overall"),
        _encoder("audiobox", "audiobox:AudioboxAesthetics", "Aesthetics: enjoyment, usefulness, complexity, quality"),
        _encoder("clap", "clap:ClapSound", "The sound half of a CLAP"),
        _encoder("clap_text", "clap:ClapText", "The caption half of a CLAP"),
        _encoder("transformers_sound", "transformers_models:TransformersSound", "Wav2Vec2, WavLM, HuBERT or AST"),
        _encoder("transformers_text", "transformers_models:TransformersText", "Any text model, mean over tokens"),
        _metric("frechet_distance", "frechet:FrechetDistance", "Over any embedding", "1812.08466", "2311.01616"),
        _metric("tagger_kl", "tagging:TaggerKL", "Divergence of tags of paired sounds", "2209.15352"),
        _metric("inception_score", "tagging:InceptionScore", "Over any tagger", "1606.03498"),
        _metric("clap_score", "clap_score:CLAPScore", "Cosine of sound and caption"),
        _metric("event_accuracy", "event_accuracy:EventAccuracy", "Events present, and in order", BATON),
        _metric("reward_quality", "reward_quality:RewardQuality", "Accuracy, AUC, calibration, rank correlation"),
        _metric("phoneme_error_rate", "phoneme_error:PhonemeErrorRate", "Wrong phonemes of sung lyrics", "2506.07520"),
        _metric("note_agreement", "notes:NoteAgreement", "Are a score's notes those that sound: F1", "2203.09893"),
        _song_metric("lyric_error", "LyricError", "Syllables missing and added, as a phoneme error rate"),
        _song_metric("key_agreement", "KeyAgreement", "Is a song in the mode asked for"),
        _song_metric("register_agreement", "RegisterAgreement", "Is the voice in the register asked for"),
        _song_metric("scale_share", "ScaleShare", "Share of the notes in the scale of the song's key"),
        _metric("prompt_agreement", "prompt_agreement:PromptAgreement", "Heard tags against a description"),
        _metric("sound_similarity", "similarity:SoundSimilarity", "Cosine of sounds and references, any encoder"),
        _metric("aesthetics", "aesthetics:Aesthetics", "Audiobox's four scores", "2502.05139"),
        _metric("sound_guard", "sound_guard:SoundGuard", "Share of silent and of clipped sounds"),
    )


def _denoiser(name: str, target: str, summary: str, *papers: str) -> Component:
    return Component("denoiser", name, f"prefalign_audio.denoisers.{target}", summary, papers=papers)


def _stream_model(name: str, target: str, summary: str, *papers: str) -> Component:
    return Component("stream_model", name, f"prefalign_audio.streams.models.{target}", summary, papers=papers)


def _encoder(name: str, target: str, summary: str) -> Component:
    return Component("encoder", name, f"prefalign_audio.encoders.{target}", summary)


def _song_reward(name: str, target: str, summary: str, *papers: str) -> Component:
    return Component("reward", f"song_{name}", f"prefalign_audio.songs.rewards:{target}", summary, papers=papers)


def _song_metric(name: str, target: str, summary: str) -> Component:
    return _metric(name, f"song_agreement:{target}", summary)


def _metric(name: str, target: str, summary: str, *papers: str) -> Component:
    return Component("evaluator", name, f"prefalign_audio.metrics.{target}", summary, papers=papers)


@hookimpl
def prefalign_presets() -> str:
    """Where the presets are."""
    return "prefalign_audio:presets"


@hookimpl
def prefalign_commands() -> Iterable[Command]:
    """List the commands."""
    return (
        Command("pairs", "prefalign_audio.commands.pairs:main", "Count listeners' labels and make pairs of them"),
        Command("score", "prefalign_audio.commands.score:main", "Check sounds, and score them with a model"),
        Command("frechet", "prefalign_audio.commands.frechet:main", "Frechet distance between two folders of sounds"),
        Command("pareto", "prefalign_audio.commands.pareto:main", "Several criteria at once: tables and a picture"),
        Command("songs", "prefalign_audio.commands.songs:main", "Count the songs of the chorales, or of your scores"),
        Command("listen", "prefalign_audio.commands.listen:main", "A page with players: before and after"),
        Command("render", "prefalign_audio.commands.render:main", "Songs before and after as sounds, with a page"),
        Command("demo", "prefalign_audio.commands.demo:main", "Align a small text-to-audio model; before and after"),
        Command("song-demo", "prefalign_audio.commands.song_demo:main", "Align a small song model with three criteria"),
        Command(
            "repair-torchaudio",
            "prefalign_audio.commands.repair_torchaudio:main",
            "Make torchaudio's CUDA build work beside a CPU build of torch",
        ),
    )


@hookimpl
def prefalign_checks() -> Iterable[Check]:
    """List the checks."""
    return (Check("torchaudio", "prefalign_audio.sound.torchaudio_build:check", "torchaudio's build fits torch's"),)


@hookimpl
def prefalign_open_pairs(uri: str, split: str) -> object | None:
    """Open BATON's published labels, `baton:PATH`."""
    if not uri.startswith("baton:"):
        return None
    from prefalign_audio.baton.labels import open_baton

    return open_baton(uri, split)
