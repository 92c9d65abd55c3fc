# What the miniature's image can do without. Sourced by build.sh, which checks afterwards that everything still loads.
# shellcheck shell=bash

# Architectures whose code stays: the miniature's own, and those that libraries import by name.
kept_models=(__init__.py auto llama bloom encoder_decoder gpt2 gpt_oss bart mamba roformer timm_wrapper)

# trim_tree TREE SITE: SITE is the folder of the pip packages inside the tree.
trim_tree() {
  local root=$1 site=$1/$2
  trim_debian "$root"
  trim_python "$root" "$site"
}

trim_debian() { # TREE
  local root=$1 libs lib
  # The multi-arch folder, whichever architecture this is.
  libs=("$root"/usr/lib/*-linux-gnu)
  lib=${libs[0]}
  [[ -e $lib/libopenblas.so.0 || -d $lib/openblas-pthread ]] || die "no BLAS in the tree: $lib"

  # Package lists, caches and logs; character sets other than UTF-8; time zones are UTC here.
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/* "$lib/gconv"
  rm -rf "$root"/usr/share/{doc,man,info,locale,i18n,lintian,zoneinfo,gitweb,bash-completion}
  # Perl is there for git's mail and Subversion commands; clone, checkout and commit are C.
  rm -rf "$root"/usr/share/{perl,perl5} "$lib/perl" "$lib/perl5"
  # torch's own tests, and headers that nothing here compiles against.
  rm -rf "$root/usr/lib/libtorch-test" "$root/usr/include"
  # AMD's GPU stack and its LLVM come with the MPI package, which loads them only where there is such a GPU.
  # libz3 stays: libtorch_cpu itself is linked to it.
  rm -f "$lib"/libLLVM-17.so* "$lib"/libamd_comgr.so* "$lib"/libamdhip64.so* "$lib"/libhsa-runtime64.so* "$lib"/libhsakmt.so*

  local dist=$root/usr/lib/python3/dist-packages
  find "$dist/torch/bin" -type f ! -name torch_shm_manager -delete
  rm -rf "$dist/torch/include" "$dist/torch/share" "$dist/hypothesis" "$dist/_hypothesis_pytestplugin.py"
  # Where both have a package, pip's is the one that Python finds; Debian's copy would never be loaded.
  rm -rf "$dist/fsspec"
  find "$dist/sympy" "$dist/networkx" "$dist/numpy" "$dist/mpmath" -type d -name tests -prune -exec rm -rf {} +
}

trim_python() { # TREE SITE
  local root=$1 site=$2 entry keep
  find "$site" -type d \( -name __pycache__ -o -name tests -o -name test \) -prune \
    ! -path '*/instructlab/*' -exec rm -rf {} +
  # Native code that pyarrow loads only for a flight server; libarrow_substrait stays, pyarrow.lib is linked to it.
  rm -rf "$site"/pyarrow/include "$site"/pyarrow/libarrow_flight.so* "$site"/pyarrow/_flight.*.so
  find "$site" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' \) -delete
  # 14,000 task files, which lm-eval reads at every start; the branch evaluators bring their own.
  find "$site/lm_eval/tasks" -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
  # transformers looks at every architecture's folder when it is imported: fewer is smaller and faster.
  for entry in "$site"/transformers/models/*; do
    for keep in "${kept_models[@]}"; do [[ ${entry##*/} == "$keep" ]] && continue 2; done
    rm -rf "$entry"
  done
  # Console scripts carry the path of the Python that installed them; modules are run with python3 -m.
  rm -rf "${site:?}/bin" "$site/COPYING"
}
