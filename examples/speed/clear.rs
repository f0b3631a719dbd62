//! The same networks in the clear: by tract in this process, by onnxruntime in one of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use ndarray::ArrayD;
use tract_onnx::prelude::*;

use super::figures::median;

/// Answers each line that it reads with the seconds that a run took.
const SCRIPT: &str = include_str!("onnxruntime.py");

/// Something that runs a network in the clear.
pub(crate) trait Contender {
    /// The median time of so many runs, in seconds; one run before them is not counted.
    ///
    /// # Errors
    /// If the network cannot be run.
    fn run(&mut self, repeat: u32) -> Result<f64>;
}

/// tract, on one thread.
pub(crate) struct Tract {
    model: Arc<TypedRunnableModel>,
    input: Tensor,
}

impl Tract {
    /// Loads a model, and the first of the images.
    ///
    /// # Errors
    /// If either cannot be used.
    pub(crate) fn load(model: &Path, images: &Path) -> Result<Self> {
        let images: ArrayD<f32> = ndarray_npy::read_npy(images).context("the images are no float32 array")?;
        let mut dims = images.shape().to_vec();
        let values = images.iter().copied();
        let count = dims.iter().skip(1).product();
        let first = dims.first_mut().context("the array of images has no axes")?;
        *first = 1;
        let values: Vec<f32> = values.take(count).collect();
        let model = tract_onnx::onnx()
            .model_for_path(model)?
            .with_input_fact(0, f32::fact(&dims).into())?
            .into_optimized()?
            .into_runnable()?;
        Ok(Self {
            model,
            input: Tensor::from_shape(&dims, &values)?,
        })
    }
}

impl Contender for Tract {
    fn run(&mut self, repeat: u32) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..=repeat {
            let input = tvec!(self.input.clone().into());
            let start = Instant::now();
            std::hint::black_box(self.model.run(input)?);
            times.push(start.elapsed().as_secs_f64());
        }
        Ok(median(times.into_iter().skip(1)))
    }
}

/// onnxruntime, in a Python process that waits between the runs.
pub(crate) struct OnnxRuntime {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl OnnxRuntime {
    /// The version that this Python has.
    ///
    /// # Errors
    /// If it has none, or there is no such Python.
    pub(crate) fn version(python: &Path) -> Result<String> {
        let mut command = Command::new(python);
        command.args(["-c", "import numpy, onnxruntime; print(onnxruntime.__version__)"]);
        let output = command.stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{} cannot be started", python.display()))?;
        if !output.status.success() {
            bail!("{} has no onnxruntime, or no numpy", python.display());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts a process that has loaded a model and the first of the images.
    ///
    /// # Errors
    /// If it cannot be started or does not take the model.
    pub(crate) fn start(python: &Path, model: &Path, images: &Path, threads: u32) -> Result<Self> {
        let mut command = Command::new(python);
        command
            .args(["-c", SCRIPT])
            .arg(model)
            .arg(images)
            .arg(threads.to_string());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("it cannot be started")?;
        let questions = child.stdin.take().context("its input is not connected")?;
        let answers = child.stdout.take().context("its output is not connected")?;
        let mut process = Self {
            child,
            questions,
            answers: BufReader::new(answers),
        };
        match process.answer()?.as_str() {
            "ready" => Ok(process),
            other => bail!("it said \"{other}\" where it should be ready"),
        }
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("it ended; its message stands above");
        }
        Ok(line.trim().to_owned())
    }
}

impl Contender for OnnxRuntime {
    fn run(&mut self, repeat: u32) -> Result<f64> {
        writeln!(self.questions, "{repeat}")?;
        self.questions.flush()?;
        let answer = self.answer()?;
        answer
            .parse()
            .map_err(|_| anyhow!("onnxruntime said \"{answer}\" instead of a time"))
    }
}

impl Drop for OnnxRuntime {
    fn drop(&mut self) {
        // Both fail only if the process has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
