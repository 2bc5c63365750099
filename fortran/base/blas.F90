!> Dense linear algebra for large matrices: BLAS and LAPACK by their usual names and arguments.
!>
!> They come from the OpenBLAS bundled with the package (TF_BLAS_SCIPY; its symbols carry a prefix, so
!> that it never clashes with NumPy's copy), from the system's (TF_BLAS_SYSTEM), or, without either,
!> from the plain loops below: right, but slow.  Matrices go in as whole rank-2 arrays.  OpenBLAS runs
!> on one thread unless `set_blas_threads` says otherwise, outside parallel regions only.
#ifdef TF_BLAS_SCIPY
#define TF_DGEMM scipy_dgemm
#define TF_DSYRK scipy_dsyrk
#define TF_DPOTRF scipy_dpotrf
#define TF_DPOTRS scipy_dpotrs
#define TF_SET_THREADS "scipy_openblas_set_num_threads"
#else
#define TF_DGEMM dgemm
#define TF_DSYRK dsyrk
#define TF_DPOTRF dpotrf
#define TF_DPOTRS dpotrs
#define TF_SET_THREADS "openblas_set_num_threads"
#endif
module tf_blas
   use, intrinsic :: iso_c_binding, only : c_int
   use tf_kinds, only : wp
   implicit none
   private
   public :: dgemm, dsyrk, dpotrf, dpotrs, set_blas_threads, blas_name

#if defined(TF_BLAS_SCIPY) || defined(TF_BLAS_SYSTEM)
#ifdef TF_BLAS_SCIPY
   character(len=*), parameter :: blas_name = "OpenBLAS, bundled"
#else
   character(len=*), parameter :: blas_name = "OpenBLAS, of the system"
#endif

   ! Plain interfaces, not bind(c): gfortran then passes the hidden lengths that a LAPACK compiled by it wants
   interface dgemm
      !> C = alpha op(A) op(B) + beta C, C is m × n
      subroutine TF_DGEMM(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
         import :: wp
         implicit none
         character(len=1), intent(in) :: transa, transb
         integer, intent(in) :: m, n, k, lda, ldb, ldc
         real(wp), intent(in) :: alpha, beta
         real(wp), intent(in) :: a(lda, *), b(ldb, *)
         real(wp), intent(inout) :: c(ldc, *)
      end subroutine TF_DGEMM
   end interface dgemm

   interface dsyrk
      !> C = alpha A Aᵀ + beta C ("N", A is n × k) or alpha Aᵀ A + beta C ("T"); one triangle of C
      subroutine TF_DSYRK(uplo, trans, n, k, alpha, a, lda, beta, c, ldc)
         import :: wp
         implicit none
         character(len=1), intent(in) :: uplo, trans
         integer, intent(in) :: n, k, lda, ldc
         real(wp), intent(in) :: alpha, beta
         real(wp), intent(in) :: a(lda, *)
         real(wp), intent(inout) :: c(ldc, *)
      end subroutine TF_DSYRK
   end interface dsyrk

   interface dpotrf
      !> Cholesky factor of one triangle of A, in place; info > 0: not positive definite
      subroutine TF_DPOTRF(uplo, n, a, lda, info)
         import :: wp
         implicit none
         character(len=1), intent(in) :: uplo
         integer, intent(in) :: n, lda
         real(wp), intent(inout) :: a(lda, *)
         integer, intent(out) :: info
      end subroutine TF_DPOTRF
   end interface dpotrf

   interface dpotrs
      !> Solve A X = B with the factor of dpotrf, in place of B
      subroutine TF_DPOTRS(uplo, n, nrhs, a, lda, b, ldb, info)
         import :: wp
         implicit none
         character(len=1), intent(in) :: uplo
         integer, intent(in) :: n, nrhs, lda, ldb
         real(wp), intent(in) :: a(lda, *)
         real(wp), intent(inout) :: b(ldb, *)
         integer, intent(out) :: info
      end subroutine TF_DPOTRS
   end interface dpotrs

   interface
      subroutine openblas_threads(n) bind(c, name=TF_SET_THREADS)
         import :: c_int
         implicit none
         integer(c_int), value :: n
      end subroutine openblas_threads
   end interface

contains

   !> Number of threads of the calls that follow; set it back to 1 afterwards
   subroutine set_blas_threads(n)
      integer, intent(in) :: n

      call openblas_threads(int(n, c_int))
   end subroutine set_blas_threads

#else
   character(len=*), parameter :: blas_name = "none"

contains

   !> Number of threads: the loops below have one
   subroutine set_blas_threads(n)
      integer, intent(in) :: n

      if (n < 1) return
   end subroutine set_blas_threads

   !> C = alpha op(A) op(B) + beta C, C is m × n
   subroutine dgemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
      character(len=1), intent(in) :: transa, transb
      integer, intent(in) :: m, n, k, lda, ldb, ldc
      real(wp), intent(in) :: alpha, beta
      real(wp), intent(in) :: a(lda, *), b(ldb, *)
      real(wp), intent(inout) :: c(ldc, *)

      if (beta == 0.0_wp) c(:m, :n) = 0.0_wp
      if (transa == "N" .and. transb == "N") then
         c(:m, :n) = alpha*matmul(a(:m, :k), b(:k, :n)) + beta*c(:m, :n)
      else if (transa == "N") then
         c(:m, :n) = alpha*matmul(a(:m, :k), transpose(b(:n, :k))) + beta*c(:m, :n)
      else if (transb == "N") then
         c(:m, :n) = alpha*matmul(transpose(a(:k, :m)), b(:k, :n)) + beta*c(:m, :n)
      else
         c(:m, :n) = alpha*matmul(transpose(a(:k, :m)), transpose(b(:n, :k))) + beta*c(:m, :n)
      end if
   end subroutine dgemm

   !> C = alpha A Aᵀ + beta C ("N", A is n × k) or alpha Aᵀ A + beta C ("T"); one triangle of C
   subroutine dsyrk(uplo, trans, n, k, alpha, a, lda, beta, c, ldc)
      character(len=1), intent(in) :: uplo, trans
      integer, intent(in) :: n, k, lda, ldc
      real(wp), intent(in) :: alpha, beta
      real(wp), intent(in) :: a(lda, *)
      real(wp), intent(inout) :: c(ldc, *)
      real(wp), allocatable :: product(:, :)
      integer :: i, first, last

      if (trans == "N") then
         product = matmul(a(:n, :k), transpose(a(:n, :k)))
      else
         product = matmul(transpose(a(:k, :n)), a(:k, :n))
      end if
      do i = 1, n
         first = merge(1, i, uplo == "U")
         last = merge(i, n, uplo == "U")
         if (beta == 0.0_wp) c(first:last, i) = 0.0_wp
         c(first:last, i) = alpha*product(first:last, i) + beta*c(first:last, i)
      end do
   end subroutine dsyrk

   !> Cholesky factor of one triangle of A, in place; info > 0: not positive definite
   subroutine dpotrf(uplo, n, a, lda, info)
      character(len=1), intent(in) :: uplo
      integer, intent(in) :: n, lda
      real(wp), intent(inout) :: a(lda, *)
      integer, intent(out) :: info
      integer :: i, j
      real(wp) :: root

      info = 0
      do j = 1, n
         if (.not. a(j, j) > 0.0_wp) then
            info = j
            return
         end if
         root = sqrt(a(j, j))
         a(j, j) = root
         if (uplo == "U") then
            a(j, j + 1:n) = a(j, j + 1:n)/root
            do i = j + 1, n
               a(j + 1:i, i) = a(j + 1:i, i) - a(j, i)*a(j, j + 1:i)
            end do
         else
            a(j + 1:n, j) = a(j + 1:n, j)/root
            do i = j + 1, n
               a(i:n, i) = a(i:n, i) - a(i, j)*a(i:n, j)
            end do
         end if
      end do
   end subroutine dpotrf

   !> Solve A X = B with the factor of dpotrf, in place of B
   subroutine dpotrs(uplo, n, nrhs, a, lda, b, ldb, info)
      character(len=1), intent(in) :: uplo
      integer, intent(in) :: n, nrhs, lda, ldb
      real(wp), intent(in) :: a(lda, *)
      real(wp), intent(inout) :: b(ldb, *)
      integer, intent(out) :: info
      integer :: i, j

      info = 0
      do j = 1, nrhs
         if (uplo == "U") then
            do i = 1, n
               b(i, j) = (b(i, j) - dot_product(a(:i - 1, i), b(:i - 1, j)))/a(i, i)
            end do
            do i = n, 1, -1
               b(i, j) = b(i, j)/a(i, i)
               b(:i - 1, j) = b(:i - 1, j) - b(i, j)*a(:i - 1, i)
            end do
         else
            do i = 1, n
               b(i, j) = b(i, j)/a(i, i)
               b(i + 1:n, j) = b(i + 1:n, j) - b(i, j)*a(i + 1:n, i)
            end do
            do i = n, 1, -1
               b(i, j) = (b(i, j) - dot_product(a(i + 1:n, i), b(i + 1:n, j)))/a(i, i)
            end do
         end if
      end do
   end subroutine dpotrs
#endif

end module tf_blas
